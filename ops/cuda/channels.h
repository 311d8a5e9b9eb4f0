// Rows of channels in CUDA kernels: lanes side by side have neighbouring channels of one row, 16 bytes each where that
// is possible.
//
//   template <int kWidth>
//   __global__ void copy_rows_kernel(RowLanes lanes, i64 C, const float* x, float* y) {
//     const u32 row = lanes.row();
//     if (row >= lanes.rows) return;
//     for (i64 c = lanes.lane() * kWidth; c < C; c += lanes.count * kWidth)
//       Channels<kWidth>::load(x + row * C + c).store(y + row * C + c);
//   }
//   dispatch_pieces<float>(C, {x, y}, [&]<int kWidth>() {
//     const RowLanes lanes(rows, C / kWidth);
//     launch<copy_rows_kernel<kWidth>>(lanes.launch(), lanes, C, x, y);
//   });
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <type_traits>

#include "ops/cuda/storage.h"
#include "ops/cuda/units.h"

namespace tessera::cuda {

// kWidth neighbouring channels in registers, f32 whatever they are stored as.
template <int kWidth>
struct alignas(kWidth < 4 ? 4 * kWidth : 16) Channels {
  float value[kWidth];

  __device__ static Channels zero() {
    Channels x;
    for (int i = 0; i < kWidth; ++i) x.value[i] = 0;
    return x;
  }
  __device__ static Channels load(const float* at) { return *reinterpret_cast<const Channels*>(at); }
  __device__ void store(float* at) const { *reinterpret_cast<Channels*>(at) = *this; }
  __device__ static Channels load(const BFloat16* at) { return of(*reinterpret_cast<const Stored*>(at)); }
  // Zero instead of what is not there, without a branch around the load.
  __device__ static Channels load_if(bool there, const float* at) { return there ? load(at) : zero(); }
  __device__ static Channels load_if(bool there, const BFloat16* at) {
    return of(there ? *reinterpret_cast<const Stored*>(at) : Stored{});
  }
  __device__ void store(BFloat16* at) const {
    if constexpr (kWidth == 1) {
      cuda::store(at, value[0]);
    } else {
      std::array<u32, kWidth / 2> pairs;
      for (int i = 0; i < kWidth / 2; ++i) pairs[i] = bf16_pair(value[2 * i], value[2 * i + 1]);
      *reinterpret_cast<Stored*>(at) = std::bit_cast<Stored>(pairs);
    }
  }
  __device__ void add(float weight, const Channels& x) {
    for (int i = 0; i < kWidth; ++i) value[i] += weight * x.value[i];
  }
  __device__ void add(const Channels& weight, const Channels& x) {
    for (int i = 0; i < kWidth; ++i) value[i] += weight.value[i] * x.value[i];
  }
  __device__ float dot(const Channels& x) const {
    float sum = 0;
    for (int i = 0; i < kWidth; ++i) sum += value[i] * x.value[i];
    return sum;
  }

 private:
  // kWidth channels in bf16. CUDA's own vectors are one access each; of a struct it may make one per member.
  using Stored = std::conditional_t<kWidth == 8, uint4,
                                    std::conditional_t<kWidth == 4, uint2, std::conditional_t<kWidth == 2, u32, u16>>>;
  static_assert(sizeof(Stored) == 2 * kWidth);

  __device__ static Channels of(const Stored& stored) {
    Channels x;
    if constexpr (kWidth == 1) {
      x.value[0] = std::bit_cast<float>(u32{stored} << 16);
    } else {
      const auto pairs = std::bit_cast<std::array<u32, kWidth / 2>>(stored);
      for (int i = 0; i < kWidth / 2; ++i) {
        x.value[2 * i] = std::bit_cast<float>(pairs[i] << 16);
        x.value[2 * i + 1] = std::bit_cast<float>(pairs[i] & 0xFFFF0000);
      }
    }
    return x;
  }
};

// f.operator()<kWidth>() with the neighbouring channels of rows of T that a thread reads and writes at once: 16 bytes
// of them, 4, or 1, as their number and the addresses allow.
template <class T, class F>
void dispatch_pieces(i64 channels, std::initializer_list<const void*> rows, F&& f) {
  constexpr i64 kSize = sizeof(T);
  i64 all = channels * kSize;
  for (const void* row : rows) all |= address_of(row);
  const i64 unit = unit_of(all);
  if (unit == kLargestUnit) return f.template operator()<kLargestUnit / kSize>();
  if (unit == 4 * kSize) return f.template operator()<4>();
  f.template operator()<1>();
}

// Whether rows of so many channels can be read and written four channels at a time.
template <class... T>
bool by_four(i64 channels, const T*... rows) {
  return channels % 4 == 0 && (... && (reinterpret_cast<std::uintptr_t>(rows) % 16 == 0));
}
template <class F>
void dispatch_width(bool four, F&& f) {
  if (four) return f.template operator()<4>();
  f.template operator()<1>();
}

// `count` lanes, a power of two, have one row; what is computed once per row is computed by each of its warps alone.
struct RowLanes {
  static constexpr int kThreads = 256;
  u32 rows;  // below 2^31: dividing 64-bit numbers would take longer than what the lanes do
  int count, shift;

  // pieces: what a row's lanes share, Channels each.
  RowLanes(i64 rows_, i64 pieces, int most = kThreads)
      : rows(static_cast<u32>(rows_)),
        count(static_cast<int>(std::bit_ceil(static_cast<u64>(std::clamp<i64>(pieces, 1, most))))),
        shift(std::countr_zero(static_cast<u32>(count))) {
    TESSERA_CHECK(rows_ <= std::numeric_limits<i32>::max(),
                  "cuda: {} rows of channels are too many for one kernel; use a smaller batch", rows_);
  }
  Launch launch() const {
    return {.grid = static_cast<unsigned>(ceil_div(i64{rows} * count, kThreads)), .block = kThreads};
  }

  __device__ u32 row() const { return static_cast<u32>((i64{blockIdx.x} * kThreads + threadIdx.x) >> shift); }
  __device__ int lane() const { return static_cast<int>(threadIdx.x) & (count - 1); }
  // The sum over the lanes of a row, in all of them; at most a warp has a row, and all lanes of the warp take part.
  __device__ float sum(float value, Where where = Where::current()) const {
    for (int offset = count / 2; offset > 0; offset /= 2) value += warp_shuffle_xor(value, offset, where);
    return value;
  }
};

}  // namespace tessera::cuda
