#include "ops/pool.h"

#include <doctest/doctest.h>

#include <cmath>

namespace tessera::test {

TEST_CASE("max_pool2d: of equal maxima the first is chosen, of several NaN the last") {
  const Tensor ties = Tensor::from(std::vector<float>{7, 7, 7, 7}, {1, 2, 2, 1});
  CHECK(ops::max_pool2d(ties, {2, 2, 0}).argmax.data<i32>()[0] == 0);
  const Tensor nans = Tensor::from(std::vector<float>{NAN, 9, NAN, 9}, {1, 2, 2, 1});
  CHECK(ops::max_pool2d(nans, {2, 2, 0}).argmax.data<i32>()[0] == 2);
}

}  // namespace tessera::test
