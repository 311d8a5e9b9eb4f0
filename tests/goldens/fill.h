// Deterministic tensors by name, so that any language can rebuild the same inputs. Element i (row-major) of NAME:
//
//   h = FNV-1a 64-bit of NAME's bytes,  z = splitmix64(h + i),  u = (z >> 40) / 2^24     in [0, 1), exact in f32
//
// and the value is an affine map of u, computed in f64 and rounded to f32 once.
#pragma once

#include <string_view>

#include "tensor/tensor.h"

namespace tessera::goldens {

u64 fnv1a64(std::string_view name);
double uniform01(u64 hash, i64 i);

Tensor fill(std::string_view name, const Shape& shape, double lo = -1, double hi = 1);  // f32, uniform in [lo, hi)
Tensor integers(std::string_view name, const Shape& shape, i64 lo, i64 hi);             // i64 in [lo, hi)

}  // namespace tessera::goldens
