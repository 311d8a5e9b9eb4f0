// The size-bucketed caching allocator that all tensors take their memory from, one cache per device.
//
// Image sizes vary from step to step, so requests are rounded up to buckets (eight per power of two, at most 12.5 %
// waste) and freed blocks wait in their bucket for the next request of about that size. When the device has no memory
// left the cache is given back and the request tried once more; then the error tells allocated, cached and free bytes,
// and the operator that asked.
#pragma once

#include <cstddef>

#include "tensor/device.h"

namespace tessera {

inline constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 vector

struct MemoryReport {
  size_t allocated = 0;  // bytes in use by tensors
  size_t cached = 0;     // bytes waiting in buckets
  size_t peak = 0;       // largest `allocated` since the start or the last reset_peak()
  size_t free = 0;       // bytes the device could still give
};

void* allocate(size_t bytes, Device device);                // aligned to kAlignment, uninitialised; never null
void deallocate(void* block, size_t bytes, Device device);  // bytes as given to allocate
void trim_cache(Device device = {});                        // gives all cached blocks back to the system
MemoryReport memory_report(Device device = {});
void reset_peak(Device device = {});

// Names the operator that runs on this thread, for the out-of-memory message.
class OpScope {
 public:
  explicit OpScope(const char* name) : outer_(current_) { current_ = name; }
  ~OpScope() { current_ = outer_; }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;
  static const char* current() { return current_; }

 private:
  const char* outer_;
  static constinit thread_local const char* current_;  // constinit: reached directly, not through a function
};

}  // namespace tessera
