// What the op cases of the rearranging operators do not cover: dtypes other than floats, and writing into a range.
#include "ops/arrange.h"

#include <doctest/doctest.h>

#include <numeric>

#include "tests/support/check_error.h"

namespace tessera::ops {

namespace {

template <class T>
void check_copies() {
  std::vector<T> values(6);
  std::iota(values.begin(), values.end(), T{1});
  const Tensor x = Tensor::from(values, {2, 3});
  const auto list = [](const Tensor& y) { return std::vector<T>(y.data<T>(), y.data<T>() + y.numel()); };
  CHECK(list(permute(x, {1, 0})) == std::vector<T>{1, 4, 2, 5, 3, 6});
  CHECK(list(slice(x, 1, 1, 3)) == std::vector<T>{2, 3, 5, 6});
  CHECK(list(concat({x, x}, 1)) == std::vector<T>{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6});
  CHECK(list(gather_rows(x, Tensor::from(std::vector<i64>{1, 1}))) == std::vector<T>{4, 5, 6, 4, 5, 6});
}

}  // namespace

TEST_CASE("arrange: copies take every dtype") {
  check_copies<float>();
  check_copies<double>();
  check_copies<u8>();
  check_copies<i32>();
  check_copies<i64>();
  const Tensor half = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).to(DType::kF16);
  const Tensor turned = permute(half, {1, 0}).to(DType::kF32);
  CHECK(turned.data<float>()[1] == 4);
  CHECK(turned.data<float>()[2] == 2);
}

TEST_CASE("permute: the result never shares memory, even when nothing moves") {
  const Tensor x = Tensor::zeros({1, 3});
  CHECK_FALSE(permute(x, {1, 0}).same_memory(x));
}

TEST_CASE("slice_into: writes its range only, and refuses what does not fit") {
  Tensor whole = Tensor::zeros({2, 4});
  slice_into(Tensor::full({2, 2}, 1), whole, -1, 1);
  const std::vector<float> expected = {0, 1, 1, 0, 0, 1, 1, 0};
  CHECK(std::equal(expected.begin(), expected.end(), whole.data<float>()));
  CHECK_ERROR(slice_into(Tensor::zeros({2, 2}), whole, 1, 3),
              "slice_into: [2, 2] at 3 reaches beyond dimension 1 of [2, 4]");
  CHECK_ERROR(slice_into(Tensor::zeros({3, 2}), whole, 1, 0), "slice_into: f32 [3, 2] does not fit into f32 [2, 4]");
  CHECK_ERROR(slice_into(Tensor::zeros({2, 2}, DType::kF64), whole, 1, 0), "slice_into: f64 [2, 2] does not fit");
}

TEST_CASE("top_k: -0 and 0 are equal, and whole rows are sorted without losing a position") {
  const TopKResult top = top_k(Tensor::from(std::vector<double>{-0.0, 0.0, -1, 0.0}), 4);
  CHECK(std::vector<i64>(top.indices.data<i64>(), top.indices.data<i64>() + 4) == std::vector<i64>{0, 1, 3, 2});
  CHECK_ERROR(top_k(Tensor::zeros({}), 0), "top_k: k = 0 of the last dimension of []");
  CHECK_ERROR(top_k_backward(Tensor::zeros({2}), Tensor::zeros({2}, DType::kI64), {1, 3}),
              "top_k_backward: gradient [2]");
}

}  // namespace tessera::ops
