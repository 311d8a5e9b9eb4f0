// What the op cases of the reductions do not cover: positions of maxima, norms, accuracy, and threads.
#include "ops/reduce.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstring>

#include "ops/softmax.h"
#include "tests/support/check_error.h"

namespace tessera::ops {

namespace {

using Positions = std::vector<i64>;

Positions list(const Tensor& x) {
  return {x.span<i64>().begin(), x.span<i64>().end()};
}

Tensor ramp(const Shape& shape) {
  Tensor x = Tensor::empty(shape);
  for (i64 i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(i % 1013) * 0.001F;
  return x;
}

}  // namespace

TEST_CASE("max: the first of equal values is the one, NaN is larger than everything") {
  const Tensor x = Tensor::from(
      std::vector<float>{1, 3, 3, 2, NAN, INFINITY, NAN, 0, -INFINITY, -INFINITY, -INFINITY, -INFINITY}, {3, 4});
  CHECK(list(max(x, 1).indices) == Positions{1, 0, 0});
  CHECK(list(max(x, 0).indices) == Positions{1, 1, 1, 0});
  CHECK(list(argmax(x)) == Positions{1, 0, 0});
  CHECK(argmax(x).shape() == Shape{3});
  CHECK(max(x, 0, true).indices.shape() == Shape{1, 4});
  CHECK(argmax(Tensor::zeros({0, 3})).shape() == Shape{0});
}

TEST_CASE("max_backward: indices from elsewhere are refused") {
  const Tensor gy = Tensor::zeros({2});
  CHECK_ERROR(max_backward(gy, Tensor::from(Positions{0, 3}), {2, 3}, 1), "max_backward: index 3 is outside [0, 3)");
  CHECK_ERROR(max_backward(gy, Tensor::from(Positions{0}), {2, 3}, 1),
              "max_backward: gradient [2] and i64 indices [1]");
}

TEST_CASE("sum: the error of a long f32 sum does not grow with its length") {
  const Tensor x = Tensor::full({3000000, 2}, 0.1);
  const double exact = 3000000 * static_cast<double>(0.1F);
  CHECK(sum(x).item() == doctest::Approx(2 * exact).epsilon(1e-6));
  CHECK(sum(x, {0}).data<float>()[1] == doctest::Approx(exact).epsilon(1e-6));
  CHECK(mean(x).item() == doctest::Approx(static_cast<double>(0.1F)).epsilon(1e-6));
}

TEST_CASE("sum_to: undoes broadcasting, and refuses shapes that were not broadcast") {
  const Tensor gradient = Tensor::full({2, 3, 4}, 1);
  for (const Shape& shape : {Shape{4}, Shape{3, 1}, Shape{2, 1, 4}, Shape{}, Shape{1, 1, 1}}) {
    const Tensor y = sum_to(gradient, shape);
    CHECK(y.shape() == shape);
    for (float value : y.span<float>()) CHECK(value == static_cast<float>(24 / shape.numel()));
  }
  CHECK_ERROR(sum_to(gradient, {3}), "sum_to: shapes [2, 3, 4] and [3] do not broadcast");
  CHECK_ERROR(sum_to(Tensor::zeros({1, 3}), {2, 3}), "sum_to: [1, 3] is not broadcast from [2, 3]");
}

TEST_CASE("sum_of_squares: in double, beyond the range of f32") {
  CHECK(sum_of_squares(Tensor::full({100000}, 2)).item() == 400000);
  CHECK(sum_of_squares(Tensor::full({2}, 1e30)).item() == doctest::Approx(2e60));
  CHECK(sum_of_squares(Tensor::zeros({0})).item() == 0);
  CHECK(sum_of_squares(std::vector<Tensor>{Tensor::full({3}, 2), Tensor::zeros({0}), Tensor::full({2}, 1)}).item() ==
        14);
  CHECK(sum_of_squares(std::vector<Tensor>{}).item() == 0);
  CHECK(std::isnan(sum_of_squares(Tensor::full({3}, NAN, DType::kF64)).item()));
  CHECK_ERROR(sum_of_squares(Tensor::zeros({3}, DType::kI64)), "sum_of_squares: dtype i64");
}

TEST_CASE("all_finite: finds a single NaN or infinity anywhere") {
  Tensor x = Tensor::full({70001}, 3e38);
  CHECK(all_finite(x));
  CHECK(all_finite(Tensor::zeros({0})));
  for (i64 position : {i64{0}, i64{33000}, i64{70000}})
    for (float bad : {NAN, INFINITY, -INFINITY}) {
      x.data<float>()[position] = bad;
      CHECK_FALSE(all_finite(x));
      x.data<float>()[position] = 0;
    }
  CHECK(all_finite(x));
}

TEST_CASE("reductions and softmax: results do not depend on the number of threads") {
  const Tensor x = ramp({3, 5000, 70});
  const int threads = omp_get_max_threads();
  const auto all = [&x] {
    return std::vector<Tensor>{sum(x),           sum(x, {0, 1}), sum(x, {1}),   sum(x, {2}),
                               max(x, 1).values, softmax(x, 1),  softmax(x, 2), sum_of_squares(x)};
  };
  omp_set_num_threads(1);
  const std::vector<Tensor> one = all();
  omp_set_num_threads(3);
  const std::vector<Tensor> three = all();
  omp_set_num_threads(threads);
  for (size_t i = 0; i < one.size(); ++i) CHECK(std::memcmp(one[i].raw(), three[i].raw(), one[i].bytes()) == 0);
}

}  // namespace tessera::ops
