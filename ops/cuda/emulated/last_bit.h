// A GPU's libraries add in another order than the CPU's kernels, which do the work on the emulated device: the last
// bits of their results differ. Here they are made to, so that no test asks for what a GPU cannot give. Whole numbers,
// and what is not finite, come out the same in any order and stay.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor/dtype.h"

namespace tessera::cuda {

inline void turn_last_bits(float* values, i64 count) {
  for (i64 i = 0; i < count; ++i)
    if (std::isfinite(values[i]) && values[i] != std::trunc(values[i]))
      values[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(values[i]) ^ 1u);
}

}  // namespace tessera::cuda
