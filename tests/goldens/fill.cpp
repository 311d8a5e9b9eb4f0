#include "tests/goldens/fill.h"

#include <cmath>

namespace tessera::goldens {

u64 fnv1a64(std::string_view name) {
  u64 hash = 0xCBF29CE484222325;
  for (const char byte : name) hash = (hash ^ static_cast<u8>(byte)) * 0x100000001B3;
  return hash;
}

double uniform01(u64 hash, i64 i) {
  u64 z = hash + static_cast<u64>(i) + 0x9E3779B97F4A7C15;  // splitmix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z = z ^ (z >> 31);
  return static_cast<double>(z >> 40) / static_cast<double>(1 << 24);
}

Tensor fill(std::string_view name, const Shape& shape, double lo, double hi) {
  const u64 hash = fnv1a64(name);
  Tensor tensor = Tensor::empty(shape);
  float* data = tensor.data<float>();
  for (i64 i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(lo + (hi - lo) * uniform01(hash, i));
  return tensor;
}

Tensor integers(std::string_view name, const Shape& shape, i64 lo, i64 hi) {
  const u64 hash = fnv1a64(name);
  Tensor tensor = Tensor::empty(shape, DType::kI64);
  i64* data = tensor.data<i64>();
  for (i64 i = 0; i < tensor.numel(); ++i)
    data[i] = lo + static_cast<i64>(std::floor(static_cast<double>(hi - lo) * uniform01(hash, i)));
  return tensor;
}

}  // namespace tessera::goldens
