// Packed convolutions: the same numbers as conv2d, directly and by Winograd's algorithm.
#include <fmt/ranges.h>
#include <omp.h>

#include <array>
#include <limits>

#include "ops/conv2d.h"
#include "ops/pointwise.h"
#include "ops/precision.h"
#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using ops::Activation;
using ops::Conv2dParams;

// conv2d, then the residual and the activation one after the other.
Tensor unfused(const Tensor& x, const Tensor& w, const Tensor& bias, Conv2dParams params, const Tensor& residual) {
  const Activation activation = params.activation;
  params.activation = Activation::kNone;
  Tensor y = ops::conv2d(x, w, bias, params);
  if (residual.defined()) y = ops::add(y, residual);
  if (activation == Activation::kRelu) y = ops::relu(y);
  if (activation == Activation::kRelu6) y = ops::relu6(y);
  return y;
}

// So small that outputs are about 1.
Tensor small_weight(Random& random, const Shape& shape, DType dtype) {
  Tensor w = Tensor::empty(shape, dtype);
  const double width = std::sqrt(3.0 / static_cast<double>(shape.numel(1, 4)));
  random.fill_uniform(w, -width, width);
  return w;
}

struct Sizes {
  i64 N, H, W, I, O, kernel;  // I and O per group
  Conv2dParams params;
};

void check(const Sizes& s, DType dtype, bool winograd, Random& random, double limit) {
  const i64 groups = s.params.groups;
  const Tensor x = random_tensor(random, {s.N, s.H, s.W, s.I * groups}, dtype);
  const Tensor w = small_weight(random, {s.O * groups, s.kernel, s.kernel, s.I}, dtype);
  const Tensor bias = random.integer(0, 3) > 0 ? random_tensor(random, {s.O * groups}, dtype) : Tensor();
  const Tensor plain = ops::conv2d(x, w, bias, s.params);
  const Tensor residual = random.integer(0, 1) ? random_tensor(random, plain.shape(), dtype) : Tensor();
  const ops::PackedConv2d packed = ops::conv2d_pack(w, bias, s.params, winograd);
  const std::array sizes{
      s.N, s.H, s.W, s.I, s.O, s.kernel, groups, s.params.stride, s.params.padding, s.params.dilation};
  CAPTURE(fmt::format("{}", fmt::join(sizes, " ")));
  CHECK(difference(ops::conv2d_packed(x, packed, residual), unfused(x, w, bias, s.params, residual)) < limit);
}

Activation any_activation(Random& random) {
  return static_cast<Activation>(random.integer(0, 2));
}

}  // namespace

TEST_CASE("conv2d_packed: random shapes equal conv2d") {
  Random random(1);
  for (int i = 0; i < 600; ++i) {
    Sizes s{.N = 1 + random.integer(0, 1),
            .H = 1 + random.integer(0, 11),
            .W = 1 + random.integer(0, 11),
            .I = 1 + random.integer(0, 19),
            .O = 1 + random.integer(0, 69),
            .kernel = 1 + random.integer(0, 2),
            .params = {}};
    s.params = {.stride = 1 + random.integer(0, 1),
                .padding = random.integer(0, 2),
                .dilation = 1 + random.integer(0, 1),
                .groups = 1 + random.integer(0, 2),
                .activation = any_activation(random)};
    if (random.integer(0, 4) == 0) s.I = s.O = 1, s.params.groups = 2 + random.integer(0, 69);  // depthwise
    if (random.integer(0, 9) == 0) s.I = 200 + random.integer(0, 899), s.kernel = 1;            // a long sum
    const i64 extent = s.params.dilation * (s.kernel - 1) + 1 - 2 * s.params.padding;
    s.H = std::max(s.H, extent), s.W = std::max(s.W, extent);
    check(s, i % 4 ? DType::kF32 : DType::kF64, false, random, i % 4 ? 2e-6 : 1e-14);
  }
}

TEST_CASE("conv2d_packed: Winograd on random shapes equals conv2d") {
  Random random(2);
  for (int i = 0; i < 1500; ++i) {
    Sizes s{.N = 1 + random.integer(0, 2),
            .H = 1 + random.integer(0, 21),
            .W = 1 + random.integer(0, 21),
            .I = 32 + random.integer(0, 19),
            .O = 32 + random.integer(0, 19),
            .kernel = 3,
            .params = {}};
    s.params = {
        .padding = random.integer(0, 2), .groups = 1 + random.integer(0, 1), .activation = any_activation(random)};
    if (random.integer(0, 9) == 0) s.I = 32 + random.integer(0, 199);
    if (random.integer(0, 9) == 0) s.O = 32 + random.integer(0, 199);
    s.H = std::max(s.H, 3 - 2 * s.params.padding), s.W = std::max(s.W, 3 - 2 * s.params.padding);
    check(s, i % 4 ? DType::kF32 : DType::kF64, true, random, i % 4 ? 5e-6 : 1e-14);
  }
  check({1, 75, 61, 33, 130, 3, {.padding = 1}}, DType::kF32, true, random, 5e-6);  // many blocks of tiles
}

TEST_CASE("conv2d: where Winograd is allowed, outputs and input gradients on random shapes equal the direct ones") {
  Random random(4);
  int differ = 0;
  for (int i = 0; i < 300; ++i) {
    const i64 groups = 1 + random.integer(0, 1), I = 32 + random.integer(0, 39), O = 32 + random.integer(0, 99);
    const DType dtype = i % 4 ? DType::kF32 : DType::kF64;
    const Conv2dParams params{.stride = 1 + (random.integer(0, 9) == 0),
                              .padding = random.integer(0, 3),
                              .groups = groups,
                              .activation = any_activation(random)};
    const Tensor x = random_tensor(
        random, {1 + random.integer(0, 2), 16 + random.integer(0, 17), 16 + random.integer(0, 17), I * groups}, dtype);
    const Tensor w = small_weight(random, {O * groups, 3, 3, I}, dtype),
                 bias = random_tensor(random, {O * groups}, dtype);
    const Tensor y = ops::conv2d(x, w, bias, params), gy = random_tensor(random, y.shape(), dtype);
    const Tensor gx = ops::conv2d_backward_input(gy, w, x.shape(), params);
    Tensor other_y, other_gx;
    {
      const ArithmeticScope arithmetic({.winograd = true});
      other_y = ops::conv2d(x, w, bias, params);
      other_gx = ops::conv2d_backward_input(gy, w, x.shape(), params);
    }
    const double limit = dtype == DType::kF32 ? 5e-6 : 1e-14;
    CAPTURE(fmt::format("{} {} {} {}", x.shape(), w.shape(), params.stride, params.padding));
    CHECK(difference(other_y, y) < limit);
    CHECK(difference(other_gx, gx) < limit);
    differ += !same_bits(other_y, y) + !same_bits(other_gx, gx);
  }
  CHECK(differ > 300);  // it was taken
}

TEST_CASE("conv2d_packed: the same bits for any number of threads") {
  Random random(3);
  for (const bool winograd : {false, true})
    for (const Sizes& s : {Sizes{1, 20, 20, 100, 130, 3, {.padding = 1}}, Sizes{2, 75, 61, 40, 70, 3, {.padding = 1}},
                           Sizes{1, 33, 20, 32, 100, 3, {.padding = 1, .groups = 4}}}) {
      const i64 groups = s.params.groups;
      const Tensor x = random_tensor(random, {s.N, s.H, s.W, s.I * groups}, DType::kF32);
      const Tensor w = random_tensor(random, {s.O * groups, 3, 3, s.I}, DType::kF32);
      Tensor first;
      for (const int threads : {1, 2, 3, 7}) {
        omp_set_num_threads(threads);
        const ops::PackedConv2d packed = ops::conv2d_pack(w, Tensor(), s.params, winograd);
        CHECK(packed.winograd == winograd);
        const Tensor y = ops::conv2d_packed(x, packed);
        if (!first.defined()) first = y;
        CHECK(same_bits(y, first));
      }
      omp_set_num_threads(omp_get_num_procs());
    }
}

TEST_CASE("conv2d_packed: where Winograd is used") {
  const auto used = [](const Shape& weight, const Conv2dParams& params) {
    return ops::conv2d_pack(Tensor::zeros(weight), Tensor(), params, true).winograd;
  };
  CHECK(used({64, 3, 3, 64}, {}));
  CHECK(used({400, 3, 3, 64}, {.groups = 4}));
  CHECK(!used({64, 3, 3, 64}, {.stride = 2}));
  CHECK(!used({64, 3, 3, 64}, {.dilation = 2}));
  CHECK(!used({64, 1, 1, 64}, {}));
  CHECK(!used({64, 5, 5, 64}, {}));
  CHECK(!used({64, 3, 3, 3}, {}));
  CHECK(!used({64, 3, 3, 1}, {.groups = 64}));
  CHECK(!ops::conv2d_pack(Tensor::zeros({64, 3, 3, 64}), Tensor(), {}, false).winograd);
}

// A NaN reaches the tiles that see it and no others; the outputs that see it directly are among them.
TEST_CASE("conv2d_packed: a NaN stays in the tiles that see it") {
  Random random(4);
  Tensor x = random_tensor(random, {1, 24, 24, 32}, DType::kF32);
  const Tensor w = random_tensor(random, {32, 3, 3, 32}, DType::kF32);
  x.data<float>()[(9 * 24 + 10) * 32 + 5] = std::numeric_limits<float>::quiet_NaN();
  const Conv2dParams params{.padding = 1, .activation = Activation::kRelu6};
  const Tensor y = ops::conv2d_packed(x, ops::conv2d_pack(w, Tensor(), params, true));
  for (i64 h = 0; h < 24; ++h)
    for (i64 v = 0; v < 24; ++v) {
      const bool tile = h / 4 == 2 && v / 4 == 2;
      const bool sees = std::abs(h - 9) <= 1 && std::abs(v - 10) <= 1;
      const bool nan = std::isnan(y.data<float>()[(h * 24 + v) * 32]);
      CAPTURE(h);
      CAPTURE(v);
      if (sees) CHECK(nan);
      if (!tile && !sees) CHECK(!nan);
    }
}

TEST_CASE("conv2d_packed: no images, and errors") {
  const ops::PackedConv2d packed = ops::conv2d_pack(Tensor::zeros({32, 3, 3, 32}), Tensor(), {.padding = 1}, true);
  CHECK(ops::conv2d_packed(Tensor::zeros({0, 8, 8, 32}), packed).shape() == Shape{0, 8, 8, 32});
  CHECK_ERROR(ops::conv2d_packed(Tensor::zeros({1, 8, 8, 31}), packed), "conv2d_packed: input has 31 channels");
  CHECK_ERROR(ops::conv2d_packed(Tensor::zeros({1, 8, 8, 32}, DType::kF64), packed), "conv2d_packed: x has dtype f64");
  CHECK_ERROR(ops::conv2d_packed(Tensor::zeros({1, 8, 8, 32}), packed, Tensor::zeros({1, 8, 8, 31})),
              "conv2d_packed: residual must be [1, 8, 8, 32], got [1, 8, 8, 31]");
  CHECK_ERROR(ops::conv2d_packed(Tensor::zeros({1, 8, 8, 32}), {}), "conv2d_packed: the convolution is not packed");
  CHECK_ERROR(ops::conv2d_pack(Tensor::zeros({32, 3, 32}), Tensor(), {}, true),
              "conv2d_pack: weight must be [Cout, Kh, Kw, Cin/groups], got [32, 3, 32]");
  CHECK_ERROR(ops::conv2d_pack(Tensor::zeros({32, 3, 3, 32}), Tensor::zeros({31}), {}, true),
              "conv2d_pack: bias must be [32], got [31]");
}

}  // namespace tessera::test
