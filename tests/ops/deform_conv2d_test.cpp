#include "ops/deform_conv2d.h"

#include <omp.h>

#include <vector>

#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using ops::DeformConv2dParams;

struct DeformCase {
  i64 N, H, W, Ci, Co, Kh, Kw;
  DeformConv2dParams params;
};

struct NaiveDeform {
  Tensor y, gx, goffset, gmask, gw;
};

// The definition in f64, one bilinear corner at a time.
NaiveDeform naive_deform(const Tensor& x32, const Tensor& offset32, const Tensor& mask32, const Tensor& w32,
                         const Tensor& gy32, const DeformConv2dParams& p) {
  const Tensor x = x32.to(DType::kF64), offset = offset32.to(DType::kF64), w = w32.to(DType::kF64),
               gy = gy32.to(DType::kF64);
  const Tensor mask = mask32.defined() ? mask32.to(DType::kF64) : Tensor();
  const i64 N = x.dim(0), H = x.dim(1), W = x.dim(2), Ci = x.dim(3), Co = w.dim(0), Kh = w.dim(1), Kw = w.dim(2),
            I = w.dim(3);
  const i64 Ho = gy.dim(1), Wo = gy.dim(2), positions = Kh * Kw;
  NaiveDeform r{Tensor::zeros(gy.shape(), DType::kF64), Tensor::zeros(x.shape(), DType::kF64),
                Tensor::zeros(offset.shape(), DType::kF64),
                Tensor::zeros({N, Ho, Wo, p.offset_groups * positions}, DType::kF64),
                Tensor::zeros(w.shape(), DType::kF64)};
  for (i64 pixel = 0; pixel < N * Ho * Wo; ++pixel)
    for (i64 c = 0; c < Ci; ++c)
      for (i64 position = 0; position < positions; ++position) {
        const i64 entry = (pixel * p.offset_groups + c / (Ci / p.offset_groups)) * positions + position;
        const double h = double(pixel / Wo % Ho * p.stride - p.padding + position / Kw * p.dilation) +
                         offset.data<double>()[2 * entry];
        const double v = double(pixel % Wo * p.stride - p.padding + position % Kw * p.dilation) +
                         offset.data<double>()[2 * entry + 1];
        if (!(h > -1 && h < double(H) && v > -1 && v < double(W))) continue;
        const double m = mask.defined() ? mask.data<double>()[entry] : 1;
        for (const double row : {std::floor(h), std::floor(h) + 1})
          for (const double column : {std::floor(v), std::floor(v) + 1}) {
            if (row < 0 || row >= double(H) || column < 0 || column >= double(W)) continue;
            const i64 from = ((pixel / (Ho * Wo) * H + i64(row)) * W + i64(column)) * Ci + c;
            const double wh = 1 - std::abs(h - row), wv = 1 - std::abs(v - column), value = x.data<double>()[from];
            double g = 0;  // the gradient of the column's value
            for (i64 o = c / I * (Co / p.groups); o < (c / I + 1) * (Co / p.groups); ++o) {
              const i64 weight = (o * positions + position) * I + c % I;
              g += gy.data<double>()[pixel * Co + o] * w.data<double>()[weight];
              r.y.data<double>()[pixel * Co + o] += m * wh * wv * value * w.data<double>()[weight];
              r.gw.data<double>()[weight] += gy.data<double>()[pixel * Co + o] * m * wh * wv * value;
            }
            r.gx.data<double>()[from] += g * m * wh * wv;
            r.gmask.data<double>()[entry] += g * wh * wv * value;
            r.goffset.data<double>()[2 * entry] += g * m * wv * value * (row > h ? 1 : -1);
            r.goffset.data<double>()[2 * entry + 1] += g * m * wh * value * (column > v ? 1 : -1);
          }
      }
  return r;
}

}  // namespace

TEST_CASE("deform_conv2d: forward and all gradients agree with the definition") {
  const std::vector<DeformCase> cases = {
      {1, 1, 1, 1, 1, 1, 1, {}},
      {2, 5, 6, 4, 3, 3, 3, {.padding = 1}},
      {1, 7, 6, 20, 70, 3, 3, {.padding = 1}},
      {1, 9, 8, 12, 8, 3, 2, {.stride = 2, .padding = 1, .dilation = 2}},
      {2, 6, 7, 12, 9, 3, 3, {.padding = 1, .groups = 3}},
      {1, 6, 7, 12, 8, 3, 3, {.padding = 1, .offset_groups = 4}},
      {1, 6, 5, 12, 8, 3, 3, {.padding = 1, .groups = 4, .offset_groups = 2}},
      {1, 6, 5, 12, 8, 3, 3, {.padding = 1, .groups = 2, .offset_groups = 3}},  // their borders cross
      {1, 4, 4, 130, 6, 1, 1, {.offset_groups = 2}},
      {0, 4, 4, 8, 8, 3, 3, {.padding = 1}},
      {1, 30, 30, 8, 8, 3, 3, {.padding = 1}},
  };
  Random random(1);
  for (const DType dtype : {DType::kF32, DType::kF64})
    for (const DeformCase& c : cases)
      for (const bool with_mask : {false, true}) {
        INFO("x [", c.N, ", ", c.H, ", ", c.W, ", ", c.Ci, "], Co ", c.Co, ", groups ", c.params.groups,
             ", offset groups ", c.params.offset_groups, ", mask ", with_mask);
        const DeformConv2dParams& p = c.params;
        const i64 Ho = (c.H + 2 * p.padding - p.dilation * (c.Kh - 1) - 1) / p.stride + 1;
        const i64 Wo = (c.W + 2 * p.padding - p.dilation * (c.Kw - 1) - 1) / p.stride + 1;
        const Tensor x = random_tensor(random, {c.N, c.H, c.W, c.Ci}, dtype);
        const Tensor w = random_tensor(random, {c.Co, c.Kh, c.Kw, c.Ci / p.groups}, dtype);
        Tensor offset = Tensor::empty({c.N, Ho, Wo, p.offset_groups * 2 * c.Kh * c.Kw}, dtype);
        random.fill_uniform(offset, -3, 3);  // many samples fall outside
        const Tensor mask =
            with_mask ? random_tensor(random, {c.N, Ho, Wo, p.offset_groups * c.Kh * c.Kw}, dtype) : Tensor();
        const Tensor gy = random_tensor(random, {c.N, Ho, Wo, c.Co}, dtype);
        const NaiveDeform expected = naive_deform(x, offset, mask, w, gy, p);
        CHECK(difference(ops::deform_conv2d(x, offset, mask, w, Tensor(), p), expected.y) < tolerance(dtype));
        const ops::DeformConv2dGradients g = ops::deform_conv2d_backward_input(gy, x, offset, mask, w, p);
        CHECK(difference(g.x, expected.gx) < tolerance(dtype));
        CHECK(difference(g.offset, expected.goffset) <
              5 * tolerance(dtype));  // f32 coordinates lose bits to their integer part
        CHECK(g.mask.defined() == with_mask);
        if (with_mask) CHECK(difference(g.mask, expected.gmask) < tolerance(dtype));
        CHECK(difference(ops::deform_conv2d_backward_weight(gy, x, offset, mask, w.shape(), p), expected.gw) <
              tolerance(dtype));
      }
}

TEST_CASE("deform_conv2d: zero offsets are an ordinary convolution") {
  Random random(2);
  const Tensor x = random_tensor(random, {2, 9, 8, 16}, DType::kF32),
               w = random_tensor(random, {24, 3, 3, 8}, DType::kF32);
  const Tensor bias = random_tensor(random, {24}, DType::kF32), offset = Tensor::zeros({2, 5, 4, 18});
  const Tensor y = ops::conv2d(x, w, bias, {.stride = 2, .padding = 1, .groups = 2});
  CHECK(difference(ops::deform_conv2d(x, offset, Tensor(), w, bias, {.stride = 2, .padding = 1, .groups = 2}), y) <
        tolerance(DType::kF32));
}

TEST_CASE("deform_conv2d: exactly one pixel outside, the offset still has the gradient towards the image") {
  // One position at row -1: the value is 0, but moving down by d gives d * x.
  const Tensor x = Tensor::full({1, 2, 2, 1}, 3), w = Tensor::full({1, 1, 1, 1}, 1), gy = Tensor::full({1, 2, 2, 1}, 1);
  Tensor offset = Tensor::zeros({1, 2, 2, 2});
  offset.data<float>()[0] = -1;
  CHECK(ops::deform_conv2d(x, offset, Tensor(), w, Tensor(), {}).data<float>()[0] == 0);
  CHECK(ops::deform_conv2d_backward_input(gy, x, offset, Tensor(), w, {}).offset.data<float>()[0] == 3);
}

TEST_CASE("deform_conv2d: NaN and huge offsets sample nothing and get no gradient") {
  Random random(3);
  const Tensor x = random_tensor(random, {1, 4, 4, 20}, DType::kF32),
               w = random_tensor(random, {5, 3, 3, 20}, DType::kF32);
  const Tensor gy = random_tensor(random, {1, 4, 4, 5}, DType::kF32);
  for (const double value : {double(NAN), double(INFINITY), -double(INFINITY), 1e30, -1e30}) {
    const Tensor offset = Tensor::full({1, 4, 4, 18}, value);
    const Tensor y = ops::deform_conv2d(x, offset, Tensor(), w, Tensor(), {.padding = 1});
    const ops::DeformConv2dGradients g = ops::deform_conv2d_backward_input(gy, x, offset, Tensor(), w, {.padding = 1});
    for (const Tensor& zero :
         {y, g.x, g.offset, ops::deform_conv2d_backward_weight(gy, x, offset, Tensor(), w.shape(), {.padding = 1})})
      for (const float element : zero.span<float>()) REQUIRE(element == 0);
  }
}

TEST_CASE("deform_conv2d: the bits do not depend on the number of threads") {
  Random random(4);
  const int threads = omp_get_max_threads();
  const DeformConv2dParams p{.padding = 1, .offset_groups = 2};
  const Tensor x = random_tensor(random, {2, 30, 30, 128}, DType::kF32),
               w = random_tensor(random, {16, 3, 3, 128}, DType::kF32);
  const Tensor offset = random_tensor(random, {2, 30, 30, 36}, DType::kF32),
               mask = random_tensor(random, {2, 30, 30, 18}, DType::kF32);
  const Tensor gy = random_tensor(random, {2, 30, 30, 16}, DType::kF32);
  const auto all = [&] {
    const ops::DeformConv2dGradients g = ops::deform_conv2d_backward_input(gy, x, offset, mask, w, p);
    return std::vector<Tensor>{ops::deform_conv2d(x, offset, mask, w, Tensor(), p), g.x, g.offset, g.mask,
                               ops::deform_conv2d_backward_weight(gy, x, offset, mask, w.shape(), p)};
  };
  omp_set_num_threads(1);
  const std::vector<Tensor> one = all();
  for (const int count : {2, 5}) {
    omp_set_num_threads(count);
    const std::vector<Tensor> many = all();
    for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], many[i]));
  }
  omp_set_num_threads(threads);
}

TEST_CASE("deform_conv2d: errors name the shapes") {
  const Tensor x = Tensor::zeros({1, 5, 5, 8}), w = Tensor::zeros({4, 3, 3, 8}), offset = Tensor::zeros({1, 3, 3, 18});
  CHECK_ERROR(ops::deform_conv2d(x, Tensor::zeros({1, 3, 3, 9}), Tensor(), w, Tensor(), {}),
              "deform_conv2d: offset must be [1, 3, 3, 18], got [1, 3, 3, 9]");
  CHECK_ERROR(ops::deform_conv2d(x, offset, offset, w, Tensor(), {}),
              "deform_conv2d: mask must be [1, 3, 3, 9], got [1, 3, 3, 18]");
  CHECK_ERROR(ops::deform_conv2d(x, offset, Tensor(), w, Tensor(), {.offset_groups = 3}),
              "deform_conv2d: 8 channels cannot be split into 3 offset groups");
  CHECK_ERROR(ops::deform_conv2d(x, Tensor(), Tensor(), w, Tensor(), {}), "deform_conv2d: offset is undefined");
  CHECK_ERROR(ops::deform_conv2d(x, offset, Tensor(), w, Tensor::zeros({5}), {}),
              "deform_conv2d: bias must be [4], got [5]");
  CHECK_ERROR(ops::deform_conv2d(x, offset, Tensor(), Tensor::zeros({4, 3, 3, 7}), Tensor(), {}),
              "deform_conv2d: input has 8 channels");
  CHECK_ERROR(ops::deform_conv2d_backward_input(x, x, offset, Tensor(), w, {}),
              "deform_conv2d_backward_input: gy must be [1, 3, 3, 4]");
}

}  // namespace tessera::test
