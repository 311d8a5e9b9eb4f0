// Comparing tensors in the tests of operators.
#pragma once

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace tessera::test {

inline Tensor random_tensor(Random& random, const Shape& shape, DType dtype) {
  Tensor tensor = Tensor::empty(shape, dtype);
  random.fill_uniform(tensor, -1, 1);
  return tensor;
}

// The largest difference, relative to the largest value expected. Infinite where exactly one of the two is NaN.
inline double difference(const Tensor& got, const Tensor& expected) {
  REQUIRE(got.shape() == expected.shape());
  const Tensor a = got.to(DType::kF64), b = expected.to(DType::kF64);
  double worst = 0, scale = 1e-30;
  for (i64 i = 0; i < a.numel(); ++i) {
    const double x = a.data<double>()[i], y = b.data<double>()[i];
    if (std::isnan(x) || std::isnan(y)) {
      if (std::isnan(x) != std::isnan(y)) return INFINITY;
      continue;
    }
    worst = std::max(worst, std::abs(x - y));
    scale = std::max(scale, std::abs(y));
  }
  return worst / scale;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// work() gives the same bits with 1, 2, 3 and 7 threads.
template <class Work>
void check_threads(const Work& work) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<Tensor> one = work();
  for (const int threads : {2, 3, 7}) {
    omp_set_num_threads(threads);
    const std::vector<Tensor> many = work();
    REQUIRE(many.size() == one.size());
    for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], many[i]));
  }
  omp_set_num_threads(before);
}

inline double tolerance(DType dtype) {
  return dtype == DType::kF32 ? 2e-5 : 1e-13;
}

}  // namespace tessera::test
