#include "tensor/allocator.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "tensor/address_sanitizer.h"
#include "tensor/device_runtime.h"
#include "tensor/error.h"

namespace tessera {

constinit thread_local const char* OpScope::current_ = nullptr;
constinit thread_local const BranchMemory* BranchMemory::beside_ = nullptr;

namespace {

constexpr size_t kSmallest = 256;
constexpr size_t kLargestRequest = SIZE_MAX / 4;  // rounding up cannot overflow below this

// The smallest bucket that holds `bytes`: eight equal steps between one power of two and the next.
size_t bucket_of(size_t bytes) {
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::max(std::bit_floor(bytes - 1) / 8, kAlignment);  // aligned_alloc wants whole multiples
  return (bytes + step - 1) / step * step;
}

// Device memory that the processor can reach, so that AddressSanitizer can watch it.
bool watched(Device device) {
  return device.kind == DeviceKind::kCpu || device.kind == DeviceKind::kCudaEmulated;
}

struct Cache {
  Device device;
  bool host = false;  // of host memory that the device reads
  std::mutex mutex;
  FreeBlocks free;
  std::unordered_map<void*, MemoryPool*> owners;  // of the blocks that belong to a pool
  BranchMemory* branch = nullptr;                 // while there are two queues
  size_t allocated = 0, cached = 0, peak = 0;
  size_t most = 0;  // that was allocated since the start or the last trim()

  const DeviceRuntime& runtime() const { return device_runtime(device.kind); }

  // A block of the cache or of the device; null where there is none left.
  void* take(size_t size) {
    void* block = free.take(size);
    if (block) {
      cached -= size;
    } else {
      make_room(size);
      if (block = ask(size); !block) {
        trim();
        block = ask(size);
      }
    }
    if (!block) return nullptr;
    allocated += size;
    peak = std::max(peak, allocated);
    most = std::max(most, allocated);
    return block;
  }

  void* ask(size_t size) const { return (host ? runtime().allocate_host : runtime().allocate)(size, device.index); }

  // Tensors of ever other sizes leave blocks behind that nobody asks for again.
  void make_room(size_t size) {
    const size_t needed = std::max(most, allocated + size);
    while (cached > 0 && allocated + cached + size > needed + needed / 4) {
      const auto [block, bytes] = free.take_largest();
      cached -= bytes;
      give_back(block, bytes);
    }
  }

  void put_back(void* block, size_t size) {
    allocated -= size;
    cached += size;
    free.put(block, size);
    if (watched(device)) poison(block, size);
  }

  void trim() {
    free.drain([&](void* block, size_t size) { give_back(block, size); });
    cached = 0;
    most = allocated;
  }

  void give_back(void* block, size_t size) {
    if (watched(device)) unpoison(block, size);
    (host ? runtime().deallocate_host : runtime().deallocate)(block, device.index);
  }
};

// Never destroyed: tensors with static lifetime may free their memory after main has returned.
Cache& cache(Device device, bool host = false) {
  static std::mutex* mutex = new std::mutex;
  static auto* caches = new std::map<std::tuple<DeviceKind, int, bool>, Cache>;
  const std::lock_guard lock(*mutex);
  const auto [entry, made] = caches->try_emplace({device.kind, device.index, host});
  if (made) {
    entry->second.device = device;
    entry->second.host = host;
  }
  return entry->second;
}

constinit thread_local MemoryPool* current_pool = nullptr;

const char* who_asks() {
  return OpScope::current() ? OpScope::current() : "tensor";
}

}  // namespace

void* FreeBlocks::take(size_t size) {
  const auto bucket = buckets_.find(size);
  if (bucket == buckets_.end()) return nullptr;
  void* block = bucket->second.back();
  bucket->second.pop_back();
  if (bucket->second.empty()) buckets_.erase(bucket);
  return block;
}

std::pair<void*, size_t> FreeBlocks::take_largest() {
  const size_t size = buckets_.rbegin()->first;
  return {take(size), size};
}

void* allocate(size_t bytes, Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  MemoryPool* pool = current_pool && current_pool->device_ == device ? current_pool : nullptr;
  if (bytes <= kLargestRequest) {
    const size_t size = bucket_of(bytes);
    BranchMemory::Queue* queue = c.branch && !pool ? &c.branch->mine() : nullptr;
    void* block = pool ? pool->free_.take(size) : queue ? queue->free.take(size) : nullptr;
    if (!block) {
      TESSERA_CHECK(!pool || !pool->closed_,
                    "{}: asks for {} bytes on {} that the run before the recording did not need; what is recorded must "
                    "ask for the same memory each time",
                    who_asks(), bytes, device);
      block = c.take(size);
      if (block && pool) {
        pool->blocks_.emplace(block, size);
        c.owners.emplace(block, pool);
      }
      if (block && queue) queue->blocks.insert(block);
    }
    if (block) {
      if (watched(device) && !(pool && pool->closed_)) {
        unpoison(block, queue ? size : bytes);  // what is done later may still be what used the block before
        if (!queue) poison(static_cast<std::byte*>(block) + bytes, size - bytes);
      }
      return block;
    }
  }
  fail("{}: out of memory on {}: {} bytes asked for; {} allocated, {} cached, {} free on the {}", who_asks(), device,
       bytes, c.allocated, c.cached, c.runtime().free_bytes(device.index),
       device.kind == DeviceKind::kCpu ? "system" : "device");
}

void deallocate(void* block, size_t bytes, Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  const size_t size = bucket_of(bytes);
  const auto owner = c.owners.find(block);
  if (owner == c.owners.end()) {
    if (!c.branch) return c.put_back(block, size);
    BranchMemory::Queue& queue = c.branch->mine();
    return (queue.blocks.contains(block) ? queue.free : c.branch->waiting_).put(block, size);
  }
  MemoryPool& pool = *owner->second;
  pool.free_.put(block, size);
  if (watched(device) && !pool.closed_) poison(block, size);
}

MemoryPool::~MemoryPool() {
  Cache& c = cache(device_);
  const std::lock_guard lock(c.mutex);
  for (const auto& [block, size] : blocks_) c.owners.erase(block);
  free_.drain([&](void* block, size_t size) { c.put_back(block, size); });
}

// What is replayed uses all blocks, whoever held them while it was recorded.
void MemoryPool::close() {
  const std::lock_guard lock(cache(device_).mutex);
  closed_ = true;
  if (watched(device_))
    for (const auto& [block, size] : blocks_) unpoison(block, size);
}

MemoryPool::Scope::Scope(MemoryPool& pool) {
  TESSERA_CHECK(!current_pool, "memory pool: one is in use on this thread; they do not nest");
  current_pool = &pool;
}

MemoryPool::Scope::~Scope() {
  current_pool = nullptr;
}

bool BranchMemory::available(Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  return !current_pool && !c.branch;
}

BranchMemory::BranchMemory(Device device) : device_(device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  TESSERA_CHECK(!c.branch, "branch memory: there is one on {}; they do not nest", device);
  c.branch = this;
}

BranchMemory::~BranchMemory() {
  Cache& c = cache(device_);
  const std::lock_guard lock(c.mutex);
  c.branch = nullptr;
  for (FreeBlocks* free : {&queues_[0].free, &queues_[1].free, &waiting_})
    free->drain([&](void* block, size_t size) { c.put_back(block, size); });
}

void BranchMemory::use(bool beside) {
  beside_ = beside ? this : nullptr;
}

void* allocate_host(size_t bytes, Device device) {
  Cache& c = cache(device, true);
  const std::lock_guard lock(c.mutex);
  void* block = bytes <= kLargestRequest ? c.take(bucket_of(bytes)) : nullptr;
  TESSERA_CHECK(block, "{}: out of host memory that {} can read: {} bytes asked for; {} allocated, {} cached",
                who_asks(), device, bytes, c.allocated, c.cached);
  if (watched(device)) unpoison(block, bytes);
  return block;
}

void deallocate_host(void* block, size_t bytes, Device device) {
  Cache& c = cache(device, true);
  const std::lock_guard lock(c.mutex);
  c.put_back(block, bucket_of(bytes));
}

void trim_cache(Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  c.trim();
}

MemoryReport memory_report(Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  return {c.allocated, c.cached, c.peak, c.runtime().free_bytes(device.index)};
}

void reset_peak(Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  c.peak = c.allocated;
}

}  // namespace tessera
