// Inverted residuals: the same numbers as the three packed convolutions one after the other.
#include "ops/inverted_residual.h"

#include <fmt/ranges.h>
#include <omp.h>

#include <array>
#include <limits>
#include <optional>

#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using ops::Activation;
using ops::PackedConv2d;

PackedConv2d random_packed(Random& random, const Shape& weight, const ops::Conv2dParams& params, DType dtype) {
  Tensor w = Tensor::empty(weight, dtype);
  const double width = 2 * std::sqrt(3.0 / static_cast<double>(weight.numel(1, 4)));
  random.fill_uniform(w, -width, width);
  const Tensor bias = random.integer(0, 3) > 0 ? random_tensor(random, {weight[0]}, dtype) : Tensor();
  return ops::conv2d_pack(w, bias, params, true);
}

struct Sizes {
  i64 N, H, W, in, wide, out, kernel, stride;
  bool expand, residual;
  i64 padding = kernel / 2, dilation = 1;
};

struct Block {
  Tensor x, residual;
  std::optional<PackedConv2d> expand;
  PackedConv2d depthwise, project;

  Block(const Sizes& s, Random& random, DType dtype = DType::kF32)
      : x(random_tensor(random, {s.N, s.H, s.W, s.expand ? s.in : s.wide}, dtype)) {
    const auto activation = [&] { return static_cast<Activation>(random.integer(0, 2)); };
    if (s.expand) expand = random_packed(random, {s.wide, 1, 1, s.in}, {.activation = Activation::kRelu6}, dtype);
    depthwise = random_packed(random, {s.wide, s.kernel, s.kernel, 1},
                              {.stride = s.stride,
                               .padding = s.padding,
                               .dilation = s.dilation,
                               .groups = s.wide,
                               .activation = activation()},
                              dtype);
    project = random_packed(random, {s.out, 1, 1, s.wide}, {.activation = activation()}, dtype);
    if (s.residual) residual = random_tensor(random, chain().shape(), dtype);
  }

  ops::PackedInvertedResidual packed() const { return {expand ? &*expand : nullptr, depthwise, project}; }
  Tensor fused() const { return ops::inverted_residual_packed(x, packed(), residual); }
  Tensor chain() const {
    return ops::conv2d_packed(ops::conv2d_packed(expand ? ops::conv2d_packed(x, *expand) : x, depthwise), project,
                              residual);
  }
};

}  // namespace

TEST_CASE("inverted_residual_packed: random shapes equal the three convolutions") {
  Random random(1);
  for (int i = 0; i < 600; ++i) {
    Sizes s{.N = 1 + random.integer(0, 2),
            .H = 1 + random.integer(0, 49),
            .W = 1 + random.integer(0, 19),
            .in = 1 + random.integer(0, 29),
            .wide = 2 + random.integer(0, 99),
            .out = 1 + random.integer(0, 39),
            .kernel = random.integer(0, 3) ? 3 : 1 + random.integer(0, 4),
            .stride = 1 + random.integer(0, 2),
            .expand = random.integer(0, 3) > 0,
            .residual = random.integer(0, 1) > 0};
    if (random.integer(0, 3) == 0) s.padding = random.integer(0, 4);
    if (random.integer(0, 5) == 0) s.dilation = 2;
    if (random.integer(0, 9) == 0) s.wide = 300 + random.integer(0, 799);  // a long sum
    if (random.integer(0, 9) == 0) s.in = 260 + random.integer(0, 99);
    const i64 extent = s.dilation * (s.kernel - 1) + 1 - 2 * s.padding;
    s.H = std::max(s.H, extent), s.W = std::max(s.W, extent);
    const DType dtype = i % 4 ? DType::kF32 : DType::kF64;
    const Block block(s, random, dtype);
    CAPTURE(fmt::format("{}", fmt::join(std::array{s.N, s.H, s.W, s.in, s.wide, s.out, s.kernel, s.stride, s.padding,
                                                   s.dilation, i64{s.expand}, i64{s.residual}},
                                        " ")));
    CHECK(difference(block.fused(), block.chain()) < (dtype == DType::kF32 ? 2e-6 : 1e-14));
  }
}

TEST_CASE("inverted_residual_packed: rows too long for the cache are made one at a time") {
  Random random(2);
  for (const i64 stride : {1, 2}) {
    const Block block({1, 40, 401, 16, 300, 24, 3, stride, true, true}, random);
    CHECK(difference(block.fused(), block.chain()) < 2e-6);
  }
}

TEST_CASE("inverted_residual_packed: the same bits for any number of threads") {
  Random random(3);
  for (const Sizes& s :
       {Sizes{1, 37, 19, 12, 72, 20, 3, 1, true, true}, Sizes{2, 33, 30, 12, 72, 20, 3, 2, true, false},
        Sizes{3, 17, 7, 12, 40, 20, 3, 1, false, true}, Sizes{1, 2, 2, 8, 48, 8, 3, 1, true, true}}) {
    const Block block(s, random);
    Tensor first;
    for (const int threads : {1, 2, 3, 7}) {
      omp_set_num_threads(threads);
      const Tensor y = block.fused();
      if (!first.defined()) first = y;
      CHECK(same_bits(y, first));
    }
    omp_set_num_threads(omp_get_num_procs());
  }
}

TEST_CASE("inverted_residual_packed: NaN and infinity reach the outputs that the convolutions take them to") {
  Random random(4);
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const i64 stride : {1, 2}) {
      Block block({1, 33, 13, 16, 48, 16, 3, stride, true, true}, random);
      block.x.data<float>()[(5 * 13 + 6) * 16 + 3] = odd;
      const Tensor y = block.fused();
      CHECK(difference(y, block.chain()) < 2e-6);
      i64 odd_pixels = 0;
      for (i64 pixel = 0; pixel < y.numel() / 16; ++pixel) odd_pixels += std::isnan(y.data<float>()[pixel * 16]);
      if (std::isnan(odd)) CHECK(odd_pixels == (stride == 1 ? 9 : 2));
    }
}

TEST_CASE("inverted_residual_packed: no images, and errors") {
  Random random(5);
  const Block block({1, 8, 8, 4, 24, 4, 3, 1, true, false}, random),
      other({1, 8, 8, 4, 20, 4, 3, 1, true, false}, random);
  CHECK(ops::inverted_residual_packed(Tensor::zeros({0, 8, 8, 4}), block.packed()).shape() == Shape{0, 8, 8, 4});
  CHECK_ERROR(ops::inverted_residual_packed(Tensor::zeros({1, 8, 8, 5}), block.packed()),
              "inverted_residual_packed: input has 5 channels");
  CHECK_ERROR(ops::inverted_residual_packed(block.x, {&*block.expand, other.depthwise, block.project}),
              "inverted_residual_packed: input has 24 channels");
  CHECK_ERROR(ops::inverted_residual_packed(block.x, {&*block.expand, block.project, block.project}),
              "inverted_residual_packed: depthwise must have one kernel per channel");
  CHECK_ERROR(ops::inverted_residual_packed(block.x, {&block.depthwise, block.depthwise, block.project}),
              "inverted_residual_packed: expand must be a 1x1 convolution");
  CHECK_ERROR(ops::inverted_residual_packed(block.x, block.packed(), Tensor::zeros({1, 8, 8, 5})),
              "inverted_residual_packed: residual must be [1, 8, 8, 4], got [1, 8, 8, 5]");
  CHECK_ERROR(ops::inverted_residual_packed(block.x.to(DType::kF64), block.packed()),
              "inverted_residual_packed: x is f64 on cpu, the packed weights or the residual f32 on cpu");
  CHECK_ERROR(ops::inverted_residual_packed({}, block.packed()), "inverted_residual_packed: x is undefined");
}

}  // namespace tessera::test
