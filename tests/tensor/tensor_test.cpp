#include "tensor/tensor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support/check_error.h"

using namespace tessera;

TEST_CASE("tensor: a view of rows and a reshape share memory with their source") {
  Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  Tensor rows = x.rows(1, 3).reshape({4});
  CHECK(rows.data<float>()[0] == 3);
  rows.data<float>()[3] = 60;
  CHECK(x.data<float>()[5] == 60);
  CHECK_FALSE(x.unique());
  CHECK(x.clone().unique());
}

TEST_CASE("tensor: a shape with another number of elements is an error that names both") {
  const Tensor x = Tensor::zeros({2, 3, 4});
  CHECK_ERROR(x.reshape({5, 5}), "[2, 3, 4] has 24 elements, [5, 5] has 25");
}

TEST_CASE("tensor: asking for the wrong dtype or an undefined tensor is an error that says so") {
  const Tensor x = Tensor::zeros({2});
  CHECK_ERROR(x.data<double>(), "holds f32, asked for f64");
  CHECK_ERROR(Tensor().data<float>(), "undefined");
  CHECK_ERROR(x.item(), "one element");
  CHECK_ERROR(x.rows(1, 3), "[1, 3)");
}

TEST_CASE("tensor: f16 and bf16 round to nearest even and keep infinities, NaN and subnormals") {
  CHECK(Half::from(1.0f).bits == 0x3C00);
  CHECK(Half::from(65504.0f).bits == 0x7BFF);
  CHECK(Half::from(65520.0f).bits == 0x7C00);
  CHECK(Half::from(2049.0f).to_float() == 2048.0f);
  CHECK(Half::from(2051.0f).to_float() == 2052.0f);
  CHECK(Half::from(0x1p-24f).bits == 1);
  CHECK(Half::from(-0x1p-25f).bits == 0x8000);
  CHECK(std::isnan(Half::from(std::numeric_limits<float>::quiet_NaN()).to_float()));
  CHECK(BFloat16::from(1.00390625f).to_float() == 1.0f);
  CHECK(BFloat16::from(1.01171875f).to_float() == 1.015625f);
  CHECK(std::isnan(BFloat16::from(std::numeric_limits<float>::quiet_NaN()).to_float()));
  for (u32 bits = 0; bits < 0x10000; ++bits) {  // every half survives the way to f32 and back
    const Half half{static_cast<u16>(bits)};
    if (!std::isnan(half.to_float())) REQUIRE(Half::from(half.to_float()).bits == bits);
  }
}

TEST_CASE("tensor: dtype conversion keeps values") {
  const Tensor x = Tensor::from<float>({0.0f, 1.5f, -3.0f});
  CHECK(x.to(DType::kF64).data<double>()[1] == 1.5);
  CHECK(x.to(DType::kF16).to(DType::kF32).data<float>()[2] == -3.0f);
  CHECK(x.to(DType::kI64).data<i64>()[2] == -3);
}

TEST_CASE("shape: sizes that overflow 2^63 are refused") {
  CHECK_ERROR(Tensor::empty({i64{1} << 40, i64{1} << 40}), "more elements than 2^63");
  CHECK_ERROR(Shape({-1}), "negative");
}
