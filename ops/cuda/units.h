// What operators that only move bytes are written with: types of 1 to 16 bytes, the larger the better.
#pragma once

#include <cstdint>

#include "tensor/cuda/launch.h"
#include "tensor/dtype.h"

namespace tessera::cuda {

inline constexpr i64 kLargestUnit = 16;  // bytes of the widest access of a thread

// The bytes of the largest unit that divides all that is or-ed together in `all`: lengths, steps, addresses.
inline i64 unit_of(i64 all) {
  all |= kLargestUnit;
  return all & -all;
}
__host__ __device__ inline i64 address_of(const void* p) {
  return static_cast<i64>(reinterpret_cast<std::uintptr_t>(p));
}

// f.operator()<Unit>() for the type of so many bytes.
template <class F>
void dispatch_unit(i64 bytes, const F& f) {
  switch (bytes) {
    case 1:
      return f.template operator()<u8>();
    case 2:
      return f.template operator()<u16>();
    case 4:
      return f.template operator()<u32>();
    case 8:
      return f.template operator()<u64>();
    default:
      return f.template operator()<float4>();
  }
}

}  // namespace tessera::cuda
