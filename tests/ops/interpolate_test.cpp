#include "ops/interpolate.h"

#include <doctest/doctest.h>

namespace tessera::test {

TEST_CASE("interpolate: nearest rounds the ratio of the sizes to f32, as PyTorch") {
  // 41 * (2 / 82) is 1, but with the ratio in f32 it lies just below.
  Tensor x = Tensor::from(std::vector<float>{10, 20}, {1, 1, 2, 1});
  const Tensor y = ops::interpolate(x, 1, 82, ops::Interpolation::kNearest);
  for (i64 i = 0; i < 82; ++i) CHECK(y.data<float>()[i] == (i <= 41 ? 10 : 20));
}

}  // namespace tessera::test
