// How a kernel is launched, on a GPU and on the emulated device alike, and what it calls to share memory and to speak
// with the other lanes of its warp.
//
//   __global__ void add_kernel(i64 n, const float* a, const float* b, float* y) {
//     for (const i64 i : indices(n)) y[i] = a[i] + b[i];
//   }
//   launch<add_kernel>(over(n), n, a, b, y);
//
// The launch names the kernel in every error, checks that it was accepted, and does nothing for an empty grid.
//
// No kernel states __launch_bounds__: a block has at most 256 threads, and the registers of so many threads, at most
// 255 each, fit in the register file.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "tensor/cuda/runtime.h"
#include "tensor/device_counts.h"
#include "tensor/error.h"

namespace tessera::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFF;
inline constexpr int kMostThreads = 256;  // of a block

constexpr i64 ceil_div(i64 a, i64 b) {
  return (a + b - 1) / b;
}

// blocks x threads, and bytes of dynamic shared memory per block.
struct Launch {
  dim3 grid, block;
  size_t shared = 0;
};

// One thread per element, or several elements per thread where there are very many: the kernel walks indices(n).
inline Launch over(i64 n, int threads = kMostThreads) {
  constexpr i64 kMaxBlocks = 1 << 16;
  return {.grid = static_cast<unsigned>(std::min(ceil_div(n, threads), kMaxBlocks)),
          .block = static_cast<unsigned>(threads)};
}

namespace detail {

// "softmax_kernel<float>" out of the compiler's name of a function template's instance.
template <auto Kernel>
std::string kernel_name() {
  std::string_view name = __PRETTY_FUNCTION__;
  if (const size_t begin = name.find("Kernel = "); begin != name.npos) name.remove_prefix(begin + 9);
  if (const size_t end = name.find_first_of(";]"); end != name.npos) name = name.substr(0, end);
  if (const size_t scope = name.substr(0, name.find('<')).rfind("::"); scope != name.npos)
    name.remove_prefix(scope + 2);
  return std::string(name);
}

#ifndef TESSERA_CUDA_EMULATED
// Bytes of a kernel's static shared memory.
template <class Kernel>
size_t static_shared(Kernel* kernel, const std::string& name) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernel), name.c_str());
  return attributes.sharedSizeBytes;
}

// Lets the kernel have so much dynamic shared memory on the current GPU. What it was given stays: another thread may be
// about to launch it with more.
inline void ask_for_shared(const void* kernel, size_t bytes, const std::string& name) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, size_t> given;
  int gpu = 0;
  check(cudaGetDevice(&gpu), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  size_t& most = given[{gpu, kernel}];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        name.c_str());
  most = bytes;
}
#endif

}  // namespace detail

template <auto Kernel, class... Args>
void launch(const Launch& shape, Args... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  static const std::string name = detail::kernel_name<Kernel>();
  const dim3 block = shape.block;
  TESSERA_CHECK(size_t{block.x} * block.y * block.z <= kMostThreads,
                "cuda: {}: a block of {} x {} x {} threads; at most {}", name, block.x, block.y, block.z, kMostThreads);
  count_device_launch();
#ifdef TESSERA_CUDA_EMULATED
  emulated::enqueue(stream(), [=] {
    emulated::run_grid(name.c_str(), shape.grid, shape.block, shape.shared, [&] { Kernel(args...); });
  });
#else
  constexpr size_t kWithoutAsking = 48 * 1024;  // for the kernel's own shared memory and the launch's together
  static const size_t own = detail::static_shared(Kernel, name);
  if (own + shape.shared > kWithoutAsking)
    detail::ask_for_shared(reinterpret_cast<const void*>(Kernel), shape.shared, name);
  // clang-format off
  Kernel<<<shape.grid, shape.block, shape.shared, stream()>>>(args...);
  // clang-format on
  check(cudaGetLastError(), name.c_str());
  if (synchronous()) check(cudaStreamSynchronize(stream()), name.c_str());
#endif
}

// --- In kernels: which elements are this thread's.

// for (const i64 i : indices(n)): this thread's share of [0, n), one grid of threads apart.
class Indices {
 public:
  struct Iterator {
    i64 at, step;
    __device__ i64 operator*() const { return at; }
    __device__ void operator++() { at += step; }
    __device__ bool operator!=(i64 end) const { return at < end; }
  };
  __device__ explicit Indices(i64 n) : n_(n) {}
  __device__ Iterator begin() const {
    return {static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x, static_cast<i64>(blockDim.x) * gridDim.x};
  }
  __device__ i64 end() const { return n_; }

 private:
  i64 n_;
};
__device__ inline Indices indices(i64 n) {
  return Indices(n);
}

// What was read before it stays read before it. What is computed with values that are read together begins with it if
// it branches, as a division does: else the compiler moves each read to its use, and a thread waits for one after the
// other.
__device__ inline void all_are_read() {
#ifndef TESSERA_CUDA_EMULATED
  asm volatile("" ::: "memory");
#endif
}

// write(i, read(i)) for all i of [0, n), for kernels that do little else than move memory: a thread has kBatch of them,
// blockDim.x apart, and reads all before it writes the first, so that it waits for memory once.
//   launch<copy_kernel>(over_batches(n), n, x, y);
inline constexpr int kBatch = 4;
inline Launch over_batches(i64 n) {
  return {.grid = static_cast<unsigned>(ceil_div(n, kBatch * kMostThreads)), .block = kMostThreads};
}
template <class Read, class Write>
__device__ void read_then_write(i64 n, Read&& read, Write&& write) {
  const i64 block = static_cast<i64>(blockIdx.x) * (kBatch * kMostThreads), first = block + threadIdx.x;
  if (block + kBatch * kMostThreads <= n) {
    decltype(read(first)) values[kBatch];
#pragma unroll
    for (int k = 0; k < kBatch; ++k) values[k] = read(first + k * kMostThreads);
#pragma unroll
    for (int k = 0; k < kBatch; ++k) write(first + k * kMostThreads, values[k]);
  } else {
#pragma unroll 1
    for (i64 i = first; i < n; i += kMostThreads) write(i, read(i));
  }
}

// use(i, read(i)) for i = begin, begin + step, ... before end, of which kReads are read before the first is used; of
// the last ones half as many, and so on.
template <int kReads, class Read, class Use>
__device__ void read_ahead(i64 begin, i64 end, i64 step, Read&& read, Use&& use) {
  i64 i = begin;
#pragma unroll 1
  for (; i + (kReads - 1) * step < end; i += kReads * step) {
    decltype(read(i)) values[kReads];
#pragma unroll
    for (int k = 0; k < kReads; ++k) values[k] = read(i + k * step);
#pragma unroll
    for (int k = 0; k < kReads; ++k) use(i + k * step, values[k]);
  }
  if constexpr (kReads > 1) read_ahead<kReads / 2>(i, end, step, read, use);
}

__device__ inline int lane() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ inline int warp() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

// --- Shared memory. A kernel's struct of arrays, without initialisers:  auto& shared = shared_memory<Tile>();
template <class Struct>
__device__ Struct& shared_memory() {
#ifdef TESSERA_CUDA_EMULATED
  static const char key = 0;
  return *static_cast<Struct*>(emulated::static_shared_memory(&key, sizeof(Struct)));
#else
  __shared__ Struct memory;
  return memory;
#endif
}

// The launch's dynamic shared memory.
template <class T>
__device__ T* dynamic_shared() {
#ifdef TESSERA_CUDA_EMULATED
  return static_cast<T*>(emulated::dynamic_shared_memory());
#else
  extern __shared__ __align__(16) std::byte dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
#endif
}

// Where a kernel calls a helper that waits, for the errors of the emulated device: the helper's last argument.
#ifdef TESSERA_CUDA_EMULATED
using Where = std::source_location;
#else
struct Where {
  __host__ __device__ static constexpr Where current() { return {}; }
};
#endif

// __syncthreads() of a helper that is called there.
__device__ inline void block_barrier([[maybe_unused]] Where where) {
#ifdef TESSERA_CUDA_EMULATED
  __syncthreads(where);
#else
  __syncthreads();
#endif
}

// --- Warp operations; all 32 lanes must take part. T has at most 8 bytes. Tensor cores: tensor/cuda/tensor_core.h
#ifdef TESSERA_CUDA_EMULATED

template <class T>
std::array<T, kWarp> warp_values(T value, Where where) {
  emulated::WarpValue given{};
  std::memcpy(&given, &value, sizeof(T));
  const emulated::WarpValue* all = emulated::exchange_in_warp(given, where);
  std::array<T, kWarp> values;
  for (int i = 0; i < kWarp; ++i) std::memcpy(&values[static_cast<size_t>(i)], &all[i], sizeof(T));
  return values;
}

// The value of lane + offset; one's own where there is no such lane.
template <class T>
T warp_shuffle_down(T value, int offset, Where where = Where::current()) {
  const auto values = warp_values(value, where);
  return lane() + offset < kWarp ? values[static_cast<size_t>(lane() + offset)] : value;
}
template <class T>
T warp_shuffle_up(T value, int offset, Where where = Where::current()) {
  const auto values = warp_values(value, where);
  return lane() >= offset ? values[static_cast<size_t>(lane() - offset)] : value;
}
// The value of lane ^ mask.
template <class T>
T warp_shuffle_xor(T value, int mask, Where where = Where::current()) {
  return warp_values(value, where)[static_cast<size_t>(lane() ^ mask)];
}
// The value of one lane.
template <class T>
T warp_shuffle(T value, int source, Where where = Where::current()) {
  return warp_values(value, where)[static_cast<size_t>(source) % kWarp];
}
// Bit i: whether lane i's condition holds.
inline unsigned warp_ballot(bool condition, Where where = Where::current()) {
  const auto values = warp_values(condition, where);
  unsigned bits = 0;
  for (int i = 0; i < kWarp; ++i) bits |= static_cast<unsigned>(values[static_cast<size_t>(i)]) << i;
  return bits;
}
// Waits for the warp and makes its writes to shared memory seen by its lanes.
inline void warp_barrier(Where where = Where::current()) {
  emulated::wait_for_warp(where);
}

#else

template <class T>
__device__ T warp_shuffle_down(T value, int offset, Where = Where::current()) {
  return __shfl_down_sync(kAllLanes, value, offset);
}
template <class T>
__device__ T warp_shuffle_up(T value, int offset, Where = Where::current()) {
  return __shfl_up_sync(kAllLanes, value, offset);
}
template <class T>
__device__ T warp_shuffle_xor(T value, int mask, Where = Where::current()) {
  return __shfl_xor_sync(kAllLanes, value, mask);
}
template <class T>
__device__ T warp_shuffle(T value, int source, Where = Where::current()) {
  return __shfl_sync(kAllLanes, value, source);
}
__device__ inline unsigned warp_ballot(bool condition, Where = Where::current()) {
  return __ballot_sync(kAllLanes, condition);
}
__device__ inline void warp_barrier(Where = Where::current()) {
  __syncwarp();
}

#endif

}  // namespace tessera::cuda
