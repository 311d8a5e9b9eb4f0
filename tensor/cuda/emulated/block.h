// Runs a kernel's grid on the processor, one block after the other.
//
// The threads of a block are run one after the other, too. A thread that must wait for others (a barrier, a warp
// operation) is left where it stands, on a stack of its own (a fiber), and the next thread begins; when all that it
// waits for have arrived, it goes on. A kernel that never waits is a plain call per thread. Threads and blocks run in
// the order of set_order(): what depends on the order is wrong on a GPU.
//
// A thread that waits for one that has ended, or that waits at another barrier, is an error that names the kernel, the
// block and the threads. Shared memory holds NaN (all bits set) when a block begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

struct dim3;

namespace tessera::emulated {

// What every GPU of compute capability 8.0 or later takes. Threads per block: kMostThreads of tensor/cuda/launch.h.
inline constexpr unsigned kMaxBlockZ = 64, kMaxGridYZ = 65535, kMaxGridX = 0x7FFFFFFF;
// Bytes per block, both kinds together: 8.6, 8.9 and 12.0 have no more; 8.0 has 163 KB, 9.0 and 10.0 have 227 KB.
inline constexpr size_t kMaxShared = 99 * 1024;
inline constexpr size_t kMaxStaticShared = 48 * 1024;  // of the static kind
inline constexpr int kWarp = 32;

// kernel: its name, for messages. body: one thread's work, which reads threadIdx and its like. Throws Error.
void run_grid(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

// The order of a block's threads and of a grid's blocks: "forward", "reverse" or "shuffled:SEED"; the environment's
// TESSERA_EMULATED_ORDER at first, else forward. Returns the order before.
std::string set_order(const std::string& order);

// --- Called by a kernel's thread.
void wait_for_block(std::source_location where);
void wait_for_warp(std::source_location where);             // all 32 lanes must come here
void* dynamic_shared_memory();                              // the launch's shared_bytes
void* static_shared_memory(const void* key, size_t bytes);  // one piece per key, the same for all threads of the block

// What a lane gives in a warp operation.
struct WarpValue {
  std::uint64_t words[3];
};
// Gives `value` to the other lanes of the warp and returns theirs: 32 values, valid until the warp's next operation.
// All 32 lanes must come here.
const WarpValue* exchange_in_warp(const WarpValue& value, std::source_location where);

// A thread's copies that run beside it until it waits for them, oldest first.
struct AsyncCopy {
  void* to;
  const void* from;
};
void add_copy(const AsyncCopy& copy);
bool take_copy(AsyncCopy& copy);  // false: there is none

}  // namespace tessera::emulated
