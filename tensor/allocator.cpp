#include "tensor/allocator.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

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

struct Cache {
  std::mutex mutex;
  std::map<size_t, std::vector<void*>> buckets;
  size_t allocated = 0, cached = 0, peak = 0;

  void trim() {
    for (auto& [size, blocks] : buckets)
      for (void* block : blocks) std::free(block);
    buckets.clear();
    cached = 0;
  }
};

// Never destroyed: tensors with static lifetime may free their memory after main has returned.
Cache& cache() {
  static Cache* instance = new Cache;
  return *instance;
}

size_t system_free() {
  return static_cast<size_t>(std::max(0L, sysconf(_SC_AVPHYS_PAGES))) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void* allocate(size_t bytes) {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  void* block = nullptr;
  if (bytes <= kLargestRequest) {
    const size_t size = bucket_of(bytes);
    if (auto bucket = c.buckets.find(size); bucket != c.buckets.end() && !bucket->second.empty()) {
      block = bucket->second.back();
      bucket->second.pop_back();
      c.cached -= size;
    } else if (block = std::aligned_alloc(kAlignment, size); !block) {
      c.trim();
      block = std::aligned_alloc(kAlignment, size);
    }
    if (block) {
      c.allocated += size;
      c.peak = std::max(c.peak, c.allocated);
      return block;
    }
  }
  fail("{}: out of memory: {} bytes asked for; {} allocated, {} cached, {} free on the system",
       OpScope::current() ? OpScope::current() : "tensor", bytes, c.allocated, c.cached, system_free());
}

void deallocate(void* block, size_t bytes) {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  const size_t size = bucket_of(bytes);
  c.allocated -= size;
  c.cached += size;
  c.buckets[size].push_back(block);
}

void trim_cache() {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  c.trim();
}

MemoryReport memory_report() {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  return {c.allocated, c.cached, c.peak, system_free()};
}

void reset_peak() {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  c.peak = c.allocated;
}

}  // namespace tessera
