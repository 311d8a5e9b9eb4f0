#include "ops/conv2d.h"

#include <omp.h>

#include <vector>

#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using ops::Activation;
using ops::Conv2dParams;

struct ConvCase {
  i64 N, H, W, Ci, Co, Kh, Kw;
  Conv2dParams params;
};

struct NaiveConv {
  Tensor y, gx, gw, gb;
};

// The definition, in f64: each product x w adds to y, each gy w to gx, each gy x to gw.
NaiveConv naive_conv2d(const Tensor& x32, const Tensor& w32, const Tensor& b32, const Tensor& gy32,
                       const Conv2dParams& p) {
  const Tensor x = x32.to(DType::kF64), w = w32.to(DType::kF64), gy = gy32.to(DType::kF64);
  const i64 N = x.dim(0), H = x.dim(1), W = x.dim(2), Ci = x.dim(3), Co = w.dim(0), Kh = w.dim(1), Kw = w.dim(2),
            I = w.dim(3);
  const i64 Ho = gy.dim(1), Wo = gy.dim(2);
  NaiveConv r{Tensor::zeros(gy.shape(), DType::kF64), Tensor::zeros(x.shape(), DType::kF64),
              Tensor::zeros(w.shape(), DType::kF64), Tensor::zeros({Co}, DType::kF64)};
  for (i64 n = 0; n < N; ++n)
    for (i64 oh = 0; oh < Ho; ++oh)
      for (i64 ow = 0; ow < Wo; ++ow)
        for (i64 o = 0; o < Co; ++o) {
          const i64 out = ((n * Ho + oh) * Wo + ow) * Co + o;
          double sum = b32.defined() ? b32.to(DType::kF64).data<double>()[o] : 0;
          const double g = gy.data<double>()[out];
          r.gb.data<double>()[o] += g;
          for (i64 kh = 0; kh < Kh; ++kh)
            for (i64 kw = 0; kw < Kw; ++kw) {
              const i64 h = oh * p.stride - p.padding + kh * p.dilation,
                        v = ow * p.stride - p.padding + kw * p.dilation;
              if (h < 0 || h >= H || v < 0 || v >= W) continue;
              for (i64 i = 0; i < I; ++i) {
                const i64 from = ((n * H + h) * W + v) * Ci + o / (Co / p.groups) * I + i,
                          weight = ((o * Kh + kh) * Kw + kw) * I + i;
                sum += x.data<double>()[from] * w.data<double>()[weight];
                r.gx.data<double>()[from] += g * w.data<double>()[weight];
                r.gw.data<double>()[weight] += g * x.data<double>()[from];
              }
            }
          r.y.data<double>()[out] = p.activation == Activation::kRelu ? std::max(sum, 0.0) : sum;
        }
  return r;
}

void check_case(Random& random, const ConvCase& c, DType dtype, bool with_bias) {
  INFO("x [", c.N, ", ", c.H, ", ", c.W, ", ", c.Ci, "], weight [", c.Co, ", ", c.Kh, ", ", c.Kw, ", .], stride ",
       c.params.stride, ", padding ", c.params.padding, ", dilation ", c.params.dilation, ", groups ", c.params.groups,
       ", bias ", with_bias);
  const Tensor x = random_tensor(random, {c.N, c.H, c.W, c.Ci}, dtype);
  const Tensor w = random_tensor(random, {c.Co, c.Kh, c.Kw, c.Ci / c.params.groups}, dtype);
  const Tensor b = with_bias ? random_tensor(random, {c.Co}, dtype) : Tensor();
  const Tensor y = ops::conv2d(x, w, b, c.params);
  const Tensor gy = random_tensor(random, y.shape(), dtype);
  const NaiveConv expected = naive_conv2d(x, w, b, gy, c.params);
  CHECK(difference(y, expected.y) < tolerance(dtype));
  CHECK(difference(ops::conv2d_backward_input(gy, w, x.shape(), c.params), expected.gx) < tolerance(dtype));
  CHECK(difference(ops::conv2d_backward_weight(gy, x, w.shape(), c.params), expected.gw) < tolerance(dtype));
  CHECK(difference(ops::conv2d_backward_bias(gy), expected.gb) < tolerance(dtype));
}

}  // namespace

TEST_CASE("conv2d: forward and all gradients agree with the definition") {
  const std::vector<ConvCase> cases = {
      {1, 1, 1, 1, 1, 1, 1, {}},
      {2, 5, 7, 3, 4, 3, 3, {.padding = 1}},
      {1, 9, 8, 3, 64, 7, 7, {.stride = 2, .padding = 3}},  // a stem
      {1, 9, 11, 5, 7, 3, 2, {.stride = 2, .padding = 1}},
      {2, 6, 6, 16, 40, 1, 1, {}},
      {1, 7, 7, 20, 65, 1, 1, {.stride = 2}},  // most input pixels reach no output
      {1, 8, 9, 24, 70, 3, 3, {.padding = 1}},
      {1, 8, 9, 24, 17, 3, 3, {.stride = 2, .padding = 1}},
      {1, 11, 10, 13, 6, 3, 3, {.padding = 2, .dilation = 2}},
      {1, 11, 10, 3, 6, 3, 3, {.padding = 2, .dilation = 2}},
      {1, 13, 12, 6, 8, 3, 5, {.stride = 3, .padding = 4, .dilation = 2}},
      {2, 6, 5, 8, 12, 3, 3, {.padding = 1, .groups = 4}},
      {1, 6, 5, 6, 12, 3, 3, {.stride = 2, .padding = 1, .groups = 6}},  // depthwise with two outputs per input
      {2, 7, 9, 37, 37, 3, 3, {.padding = 1, .groups = 37}},             // depthwise
      {1, 12, 13, 20, 20, 3, 3, {.stride = 2, .padding = 1, .groups = 20}},
      {1, 12, 13, 16, 16, 5, 5, {.stride = 2, .padding = 4, .dilation = 2, .groups = 16}},
      {1, 3, 2, 5, 5, 3, 3, {.padding = 3, .groups = 5}},
      {1, 1, 1, 9, 11, 3, 3, {.padding = 1}},
      {1, 2, 3, 4, 5, 2, 3, {}},              // one output pixel
      {0, 4, 4, 8, 8, 3, 3, {.padding = 1}},  // no image
      {0, 4, 4, 8, 8, 3, 3, {.padding = 1, .groups = 8}},
      {1, 4, 4, 4, 4, 1, 1, {.stride = 5, .padding = 2}},
      {1, 20, 16, 300, 8, 3, 3, {.padding = 1}},  // a position longer than a depth block
      {1, 40, 40, 8, 8, 3, 3, {.padding = 1}},    // several row blocks, K split
  };
  Random random(1);
  for (const DType dtype : {DType::kF32, DType::kF64})
    for (const ConvCase& c : cases)
      for (const bool with_bias : {false, true}) check_case(random, c, dtype, with_bias);
}

TEST_CASE("conv2d: ReLU is applied after the bias and keeps NaN") {
  Random random(2);
  ConvCase c{1, 6, 7, 10, 70, 3, 3, {.padding = 1, .activation = Activation::kRelu}};
  check_case(random, c, DType::kF32, true);
  c = {1, 6, 7, 20, 20, 3, 3, {.padding = 1, .groups = 20, .activation = Activation::kRelu}};
  check_case(random, c, DType::kF32, true);

  Tensor x = Tensor::full({1, 3, 3, 17}, 1);
  x.data<float>()[4 * 17] = NAN;  // the middle pixel
  const Tensor y = ops::conv2d(x, Tensor::full({17, 1, 1, 17}, -1), Tensor(), {.activation = Activation::kRelu});
  for (i64 i = 0; i < y.numel(); ++i) {
    if (i / 17 == 4) CHECK(std::isnan(y.data<float>()[i]));
    if (i / 17 != 4) CHECK(y.data<float>()[i] == 0);
  }
}

TEST_CASE("conv2d: the bits do not depend on the number of threads") {
  Random random(3);
  const int threads = omp_get_max_threads();
  for (const i64 groups : {1, 2, 32}) {
    const Conv2dParams params{.stride = 2, .padding = 1, .groups = groups};
    const Tensor x = random_tensor(random, {2, 61, 47, 32}, DType::kF32),
                 w = random_tensor(random, {32, 3, 3, 32 / groups}, DType::kF32);
    omp_set_num_threads(1);
    const Tensor y = ops::conv2d(x, w, Tensor(), params), gy = random_tensor(random, y.shape(), DType::kF32);
    const Tensor gx = ops::conv2d_backward_input(gy, w, x.shape(), params),
                 gw = ops::conv2d_backward_weight(gy, x, w.shape(), params);
    const Tensor gb = ops::conv2d_backward_bias(gy);
    for (const int count : {2, 3, 7}) {
      omp_set_num_threads(count);
      CHECK(same_bits(ops::conv2d(x, w, Tensor(), params), y));
      CHECK(same_bits(ops::conv2d_backward_input(gy, w, x.shape(), params), gx));
      CHECK(same_bits(ops::conv2d_backward_weight(gy, x, w.shape(), params), gw));
      CHECK(same_bits(ops::conv2d_backward_bias(gy), gb));
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("conv2d: errors name the shapes") {
  const Tensor x = Tensor::zeros({1, 5, 5, 8}), w = Tensor::zeros({4, 3, 3, 8});
  CHECK_ERROR(ops::conv2d(Tensor::zeros({1, 5, 5, 6}), w, Tensor(), {}),
              "conv2d: input has 6 channels, weight [4, 3, 3, 8] expects 8 x 1 groups; x [1, 5, 5, 6]");
  CHECK_ERROR(ops::conv2d(x, Tensor::zeros({3, 3, 3, 4}), Tensor(), {.groups = 2}),
              "conv2d: 3 output channels cannot be split into 2 groups");
  CHECK_ERROR(ops::conv2d(x, Tensor::zeros({3, 3, 8}), Tensor(), {}), "conv2d: x must be [N, H, W, Cin] and weight");
  CHECK_ERROR(ops::conv2d(Tensor::zeros({1, 2, 2, 8}), w, Tensor(), {}),
              "conv2d: the kernel covers 3 x 3 pixels, the padded input only 2 x 2");
  CHECK_ERROR(ops::conv2d(x, w, Tensor(), {.stride = 0}), "conv2d: stride 0");
  CHECK_ERROR(ops::conv2d(x, w, Tensor(), {.padding = -1}), "padding -1 at least 0");
  CHECK_ERROR(ops::conv2d(x, w, Tensor::zeros({3}), {}), "conv2d: bias must be [4], got [3]");
  CHECK_ERROR(ops::conv2d(x, Tensor::zeros({4, 3, 3, 8}, DType::kF64), Tensor(), {}),
              "conv2d: weight has dtype f64, the first operand f32");
  CHECK_ERROR(ops::conv2d(x, Tensor(), Tensor(), {}), "conv2d: weight is undefined");
  CHECK_ERROR(ops::conv2d_backward_input(Tensor::zeros({1, 3, 3, 5}), w, x.shape(), {}),
              "conv2d_backward_input: gy must be [1, 3, 3, 4], got [1, 3, 3, 5]");
  CHECK_ERROR(ops::conv2d_backward_weight(Tensor::zeros({1, 2, 3, 4}), x, w.shape(), {}),
              "conv2d_backward_weight: gy must be [1, 3, 3, 4]");
}

}  // namespace tessera::test
