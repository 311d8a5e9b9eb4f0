#include "tensor/allocator.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/address_sanitizer.h"
#include "tensor/device_runtime.h"
#include "tensor/error.h"

namespace tessera {

constinit thread_local const char* OpScope::current_ = nullptr;

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
  std::mutex mutex;
  std::map<size_t, std::vector<void*>> buckets;
  size_t allocated = 0, cached = 0, peak = 0;

  const DeviceRuntime& runtime() const { return device_runtime(device.kind); }

  void trim() {
    for (auto& [size, blocks] : buckets)
      for (void* block : blocks) {
        if (watched(device)) unpoison(block, size);
        runtime().deallocate(block, device.index);
      }
    buckets.clear();
    cached = 0;
  }
};

// Never destroyed: tensors with static lifetime may free their memory after main has returned.
Cache& cache(Device device) {
  static std::mutex* mutex = new std::mutex;
  static auto* caches = new std::map<std::pair<DeviceKind, int>, Cache>;
  const std::lock_guard lock(*mutex);
  const auto [entry, made] = caches->try_emplace({device.kind, device.index});
  if (made) entry->second.device = device;
  return entry->second;
}

}  // namespace

void* allocate(size_t bytes, Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  void* block = nullptr;
  if (bytes <= kLargestRequest) {
    const size_t size = bucket_of(bytes);
    if (auto bucket = c.buckets.find(size); bucket != c.buckets.end() && !bucket->second.empty()) {
      block = bucket->second.back();
      bucket->second.pop_back();
      c.cached -= size;
    } else if (block = c.runtime().allocate(size, device.index); !block) {
      c.trim();
      block = c.runtime().allocate(size, device.index);
    }
    if (block) {
      c.allocated += size;
      c.peak = std::max(c.peak, c.allocated);
      if (watched(device)) {
        unpoison(block, bytes);
        poison(static_cast<std::byte*>(block) + bytes, size - bytes);
      }
      return block;
    }
  }
  fail("{}: out of memory on {}: {} bytes asked for; {} allocated, {} cached, {} free on the {}",
       OpScope::current() ? OpScope::current() : "tensor", device, bytes, c.allocated, c.cached,
       c.runtime().free_bytes(device.index), device.kind == DeviceKind::kCpu ? "system" : "device");
}

void deallocate(void* block, size_t bytes, Device device) {
  Cache& c = cache(device);
  const std::lock_guard lock(c.mutex);
  const size_t size = bucket_of(bytes);
  c.allocated -= size;
  c.cached += size;
  c.buckets[size].push_back(block);
  if (watched(device)) poison(block, size);
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
