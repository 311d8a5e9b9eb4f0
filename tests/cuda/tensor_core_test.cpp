// Operators on tensor cores at precision "high": those of operands rounded to TF32, whose products f64 holds exactly.
// Operands that were cut off, or not rounded at all, would be a hundred times further away.
#include <bit>

#include "ops/cuda/plain_conv2d.h"
#include "ops/deform_conv2d.h"
#include "ops/precision.h"
#include "ops/sps_deform_conv2d.h"
#include "tests/cuda/other_device.h"
#include "tests/ops/compare.h"
#include "tests/ops/sps_structures.h"

namespace tessera::test {
namespace {

using ops::SpsStructure;

constexpr double kSum = 1e-4;   // of some hundred f32 products below 1
constexpr double kTf32 = 2e-2;  // where something in between is rounded to TF32

// To 11 bits, ties away from zero.
float tf32(float value) {
  return std::bit_cast<float>((std::bit_cast<u32>(value) + 0x1000) & ~0x1FFFu);
}
Tensor rounded(const Tensor& x) {
  Tensor y = x.clone();
  for (float& value : y.span<float>()) value = tf32(value);
  return y.to(DType::kF64);
}

double distance(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to_host().to(DType::kF64), y = b.to(DType::kF64);
  REQUIRE(x.shape() == y.shape());
  double most = 0;
  for (i64 i = 0; i < x.numel(); ++i) {
    const double apart = std::abs(x.data<double>()[i] - y.data<double>()[i]);
    most = apart <= most ? most : apart;  // NaN stays
  }
  return most;
}

// Widths in and out: one, two and more tiles of columns, pieces that end within a step, and all three tiles.
constexpr std::pair<i64, i64> kWidths[] = {{32, 32}, {4, 136}, {20, 64}, {72, 12}};

}  // namespace

TEST_CASE("tensor cores: index convolution and its gradients are those of operands rounded to TF32") {
  const auto device = other_device();
  if (!device) return;
  const ArithmeticScope scope({.precision = Precision::kHigh});
  Random random(31);
  const SpsStructure s = random_structure(random, 3, 5, {0.8, 0.6});
  const ops::SpsNeighbours here = ops::sps_neighbours(s, 2), there = ops::sps_neighbours(structure_on(s, *device), 2);
  for (const auto& [Fi, Fo] : kWidths) {
    INFO("Fi ", Fi, " Fo ", Fo);
    const auto draw = [&](const Shape& shape) { return random_tensor(random, shape, DType::kF32); };
    const Tensor active = draw({s.active(), Fi}), passive = draw({s.passive, Fi}), w = draw({Fo, 3, 3, Fi}),
                 gy = draw({s.active(), Fo});
    const auto on = [&](const Tensor& x) { return x.to(*device); };
    CHECK(distance(ops::sps_conv2d(there, on(active), on(passive), on(w), {}),
                   ops::sps_conv2d(here, rounded(active), rounded(passive), rounded(w), {})) < kSum);
    const ops::SpsGradients got = ops::sps_conv2d_backward(there, on(gy), on(active), on(passive), on(w)),
                            exact = ops::sps_conv2d_backward(here, rounded(gy), rounded(active), rounded(passive),
                                                             rounded(w));
    CHECK(distance(got.active, exact.active) < kSum);
    CHECK(distance(got.weight, exact.weight) < kSum);
    CHECK(distance(got.passive, exact.passive) < kTf32);
  }
}

TEST_CASE("tensor cores: the convolution of our own and its gradients are those of operands rounded to TF32") {
  const auto device = other_device();
  if (!device) return;
  const ArithmeticScope scope({.precision = Precision::kHigh});
  const DeviceScope on_device("plain_conv2d", *device);
  Random random(32);
  for (const auto& [I, O] : kWidths)
    for (const i64 groups : {1, 2}) {
      INFO("I ", I, " O ", O, " groups ", groups);
      const ops::Conv2dParams params{.stride = 2, .padding = 2, .dilation = 2, .groups = groups};
      const Tensor x = random_tensor(random, {2, 9, 11, I * groups}, DType::kF32),
                   w = random_tensor(random, {O * groups, 3, 3, I}, DType::kF32);
      const ops::Conv2dDims dims = ops::conv2d_dims("conv2d", x.shape(), w.shape(), params);
      const Tensor gy = random_tensor(random, dims.output(), DType::kF32);
      Tensor y = Tensor::empty(dims.output(), DType::kF32, *device),
             gx = Tensor::empty(x.shape(), DType::kF32, *device), gw = Tensor::empty(w.shape(), DType::kF32, *device);
      cuda::plain_conv2d(dims, x.to(*device), w.to(*device), {}, {}, ops::Activation::kNone, y);
      cuda::plain_conv2d_backward_input(dims, gy.to(*device), w.to(*device), gx);
      cuda::plain_conv2d_backward_weight(dims, gy.to(*device), x.to(*device), gw);
      CHECK(distance(y, ops::conv2d(rounded(x), rounded(w), {}, params)) < kSum);
      Tensor exact = Tensor::zeros(x.shape(), DType::kF64), exact_w = Tensor::zeros(w.shape(), DType::kF64);
      ops::conv2d_backward_input_kernels(dims, rounded(gy), rounded(w), exact);
      CHECK(distance(gx, exact) < kSum);
      ops::conv2d_backward_weight_kernels(dims, rounded(gy), rounded(x), exact_w);
      CHECK(distance(gw, exact_w) < kSum);
    }
}

TEST_CASE("tensor cores: deformable convolutions sample into the tile and differ from f32 by TF32's rounding") {
  const auto device = other_device();
  if (!device) return;
  const ArithmeticScope scope({.precision = Precision::kHigh});
  Random random(33);
  const auto draw = [&](const Shape& shape) { return random_tensor(random, shape, DType::kF32); };
  const auto offsets = [&](const Shape& shape) {
    Tensor x = Tensor::empty(shape);
    random.fill_uniform(x, -2.5, 2.5);
    return x;
  };
  const auto on = [&](const Tensor& x) { return x.to(*device); };
  const auto wide = [](const Tensor& x) { return x.to(DType::kF64); };
  for (const i64 offset_groups : {1, 2, 4}) {  // of 4 offset groups there are too many samples for the tile
    INFO("offset groups ", offset_groups);
    const ops::DeformConv2dParams params{.padding = 1, .groups = 2, .offset_groups = offset_groups};
    const Tensor x = draw({3, 7, 8, 32}), w = draw({40, 2, 3, 16}), mask = draw({3, 8, 8, 6 * offset_groups}),
                 offset = offsets({3, 8, 8, 12 * offset_groups}), bias = draw({40});
    CHECK(distance(ops::deform_conv2d(on(x), on(offset), on(mask), on(w), on(bias), params),
                   ops::deform_conv2d(wide(x), wide(offset), wide(mask), wide(w), wide(bias), params)) < kTf32);
  }
  const SpsStructure s = random_structure(random, 3, 5, {0.8, 0.6});
  const Tensor active = draw({s.active(), 24}), passive = draw({s.passive, 24}), w = draw({40, 3, 3, 24}),
               offset = offsets({s.active(), 18});
  CHECK(distance(ops::sps_deform_conv2d(structure_on(s, *device), on(active), on(passive), on(offset), on(w), {}),
                 ops::sps_deform_conv2d(s, wide(active), wide(passive), wide(offset), wide(w), {})) < kTf32);
}

}  // namespace tessera::test
