// The size-bucketed caching allocator that all tensors take their memory from, one cache per device.
//
// Image sizes vary from step to step, so requests are rounded up to buckets (eight per power of two, at most 12.5 %
// waste) and freed blocks wait in their bucket for the next request of about that size. What waits and what is in use
// are together at most 5/4 of the most that was in use since the cache was last emptied: before a block is asked of the
// device, waiting ones, the largest first, are given back. When the device has no memory left the whole cache is given
// back and the request tried once more; then the error tells allocated, cached and free bytes, and the operator that
// asked.
#pragma once

#include <cstddef>
#include <map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tensor/device.h"

namespace tessera {

inline constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 vector

struct MemoryReport {
  size_t allocated = 0;  // bytes in use by tensors and memory pools
  size_t cached = 0;     // bytes waiting in buckets
  size_t peak = 0;       // largest `allocated` since the start or the last reset_peak()
  size_t free = 0;       // bytes the device could still give
};

void* allocate(size_t bytes, Device device);                // aligned to kAlignment, uninitialised; never null
void deallocate(void* block, size_t bytes, Device device);  // bytes as given to allocate
// Host memory that the device reads by itself (tensor/device_upload.h), from a cache of its own.
void* allocate_host(size_t bytes, Device device);
void deallocate_host(void* block, size_t bytes, Device device);
void trim_cache(Device device = {});  // gives all cached blocks back to the system
MemoryReport memory_report(Device device = {});
void reset_peak(Device device = {});

// Blocks that wait for a request of their size.
class FreeBlocks {
 public:
  void* take(size_t size);                  // null: there is none
  std::pair<void*, size_t> take_largest();  // block and size; there is one
  void put(void* block, size_t size) { buckets_[size].push_back(block); }
  template <class Use>  // use(block, size) for each; none is left
  void drain(Use&& use) {
    for (const auto& [size, blocks] : buckets_)
      for (void* block : blocks) use(block, size);
    buckets_.clear();
  }

 private:
  std::map<size_t, std::vector<void*>> buckets_;  // none is empty
};

// Memory whose addresses stay valid for work that is done again and again (tensor/device_graph.h). Within a Scope the
// requests of its thread on this device are served from the pool's own blocks, which it takes from the cache when it
// needs more. A block that a tensor frees, then or later, returns to the pool and serves nobody else. With the pool its
// blocks return to the cache, those that tensors still hold as soon as these are gone.
class MemoryPool {
 public:
  explicit MemoryPool(Device device) : device_(device) {}
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // From now on the pool takes no more blocks: a request that its free ones cannot serve is an error.
  void close();

  class Scope {
   public:
    explicit Scope(MemoryPool& pool);  // throws inside another
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
  };

 private:
  friend void* allocate(size_t bytes, Device device);
  friend void deallocate(void* block, size_t bytes, Device device);

  Device device_;
  bool closed_ = false;
  FreeBlocks free_;
  std::map<void*, size_t> blocks_;  // all of them, and their sizes
};

// Memory while a device has two queues of work (tensor/device_branch.h), of which neither knows how far the other is: a
// block that one of them freed serves the other, and other threads, only when they are joined. Each may use again what
// it has itself asked for and freed; what was there before, or comes from the other, waits.
class BranchMemory {
 public:
  static bool available(Device device);  // false: within a pool, or there is one on this device
  explicit BranchMemory(Device device);
  ~BranchMemory();  // the queues are joined
  BranchMemory(const BranchMemory&) = delete;
  BranchMemory& operator=(const BranchMemory&) = delete;

  void use(bool beside);  // whose the requests of this thread are from now on

 private:
  friend void* allocate(size_t bytes, Device device);
  friend void deallocate(void* block, size_t bytes, Device device);

  struct Queue {
    FreeBlocks free;
    std::unordered_set<void*> blocks;  // that it asked for
  };
  Queue& mine() { return queues_[beside_ == this ? 1 : 0]; }

  static constinit thread_local const BranchMemory* beside_;
  Device device_;
  Queue queues_[2];
  FreeBlocks waiting_;
};

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
