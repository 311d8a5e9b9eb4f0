// Cases of deform_conv2d, v1 (no mask) and v2.
#include <cmath>

#include "autograd/conv2d.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using ops::DeformConv2dParams;

i64 out_size(i64 in, i64 kernel, const DeformConv2dParams& p) {
  return (in + 2 * p.padding - p.dilation * (kernel - 1) - 1) / p.stride + 1;
}

// Bilinear value of x[n, :, :, c] at (h, w): sum over the four pixels around of their weight; pixels outside are 0.
double sample(const Tensor& x, i64 n, double h, double w, i64 c) {
  const double floor_h = std::floor(h), floor_w = std::floor(w);
  double sum = 0;
  for (const i64 dh : {0, 1})
    for (const i64 dw : {0, 1}) {
      const double row = floor_h + static_cast<double>(dh), column = floor_w + static_cast<double>(dw);
      if (!(row >= 0 && row < static_cast<double>(x.dim(1)) && column >= 0 && column < static_cast<double>(x.dim(2))))
        continue;
      sum += (1 - std::abs(h - row)) * (1 - std::abs(w - column)) *
             at(x, n, static_cast<i64>(row), static_cast<i64>(column), c);
    }
  return sum;
}

// y[n, oh, ow, o] = b[o] + sum_{k, i} w[o, k, i] mask[k] x(n, oh s - p + kh d + dy[k], ow s - p + kw d + dx[k], g I +
// i) Offsets of position k of offset group q lie at channels 2 (q K + k) (rows) and + 1 (columns), masks at q K + k.
References naive_deform(const Tensors& t, const DeformConv2dParams& p) {
  const Tensor &x = t[0], &offset = t[1], &mask = t[2], &w = t[3], &b = t[4];
  const i64 N = x.dim(0), C = x.dim(3), Co = w.dim(0), Kh = w.dim(1), Kw = w.dim(2), I = w.dim(3);
  const i64 Ho = out_size(x.dim(1), Kh, p), Wo = out_size(x.dim(2), Kw, p), K = Kh * Kw;
  Tensor y = Tensor::zeros({N, Ho, Wo, Co}, DType::kF64);
  for (i64 n = 0; n < N; ++n)
    for (i64 oh = 0; oh < Ho; ++oh)
      for (i64 ow = 0; ow < Wo; ++ow)
        for (i64 o = 0; o < Co; ++o) {
          double sum = b.defined() ? at(b, o) : 0;
          for (i64 k = 0; k < K; ++k)
            for (i64 i = 0; i < I; ++i) {
              const i64 c = o / (Co / p.groups) * I + i, q = c / (C / p.offset_groups);
              const double h = static_cast<double>(oh * p.stride - p.padding + k / Kw * p.dilation) +
                               at(offset, n, oh, ow, 2 * (q * K + k));
              const double v = static_cast<double>(ow * p.stride - p.padding + k % Kw * p.dilation) +
                               at(offset, n, oh, ow, 2 * (q * K + k) + 1);
              const double m = mask.defined() ? at(mask, n, oh, ow, q * K + k) : 1;
              sum += at(w, o, k / Kw, k % Kw, i) * m * sample(x, n, h, v, c);
            }
          at(y, n, oh, ow, o) = sum;
        }
  return y;
}

OpCase deformable(const Shape& x, i64 Co, i64 Kh, i64 Kw, const DeformConv2dParams& p, bool masked, double reach = 2.7,
                  bool bias = true) {
  const i64 Ho = out_size(x[1], Kh, p), Wo = out_size(x[2], Kw, p), positions = p.offset_groups * Kh * Kw;
  OpCase one{.name = fmt::format("{} x={} out={} k={}x{} s={} p={} d={} g={} og={} reach={}{}", masked ? "v2" : "v1", x,
                                 Co, Kh, Kw, p.stride, p.padding, p.dilation, p.groups, p.offset_groups, reach,
                                 bias ? "" : " no bias"),
             .in = {uniform(x), uniform({x[0], Ho, Wo, 2 * positions}, -reach, reach),
                    masked ? uniform({x[0], Ho, Wo, positions}, 0, 1) : absent(),
                    uniform({Co, Kh, Kw, x[3] / p.groups}, -0.5, 0.5), bias ? uniform({Co}) : absent()},
             .run = [=](const Vars& v) { return deform_conv2d(v[0], v[1], v[2], v[3], v[4], p); },
             .reference = [=](const Tensors& t) { return naive_deform(t, p); },
             .grad = {0, 1, 3},
             .reduction = static_cast<double>(Kh * Kw * x[3] / p.groups)};
  if (masked) one.grad.push_back(2);
  if (bias) one.grad.push_back(4);
  return one;
}

}  // namespace

OP_CASES(deform_conv2d) {
  in_bf16({1, 2}, 0x1p-8);  // columns are rounded before their product
  for (const bool masked : {false, true}) {
    add(deformable({1, 1, 1, 1}, 1, 1, 1, {}, masked, 0.9));
    add(deformable({2, 6, 5, 4}, 3, 3, 3, {.padding = 1}, masked));
    add(deformable({1, 9, 8, 6}, 4, 3, 3, {.stride = 2, .padding = 2, .dilation = 2, .offset_groups = 2}, masked));
    add(deformable({1, 6, 5, 8}, 6, 3, 3, {.padding = 1, .groups = 2, .offset_groups = 2}, masked));
    add(deformable({1, 5, 6, 8}, 4, 3, 3, {.padding = 1, .groups = 2, .offset_groups = 4}, masked));
    add(deformable({1, 5, 6, 4}, 4, 2, 3, {.padding = 1, .groups = 4}, masked, 2.7, false));
    add(deformable({1, 5, 4, 3}, 2, 3, 3, {.padding = 1}, masked, 40));    // most samples far outside
    add(deformable({34, 3, 3, 2}, 2, 3, 3, {.padding = 1}, masked, 1.5));  // beyond a chunk of 32 images
    add(deformable({0, 5, 4, 3}, 2, 3, 3, {.padding = 1}, masked));
  }
  add(deformable({1, 9, 10, 40}, 33, 3, 3, {.padding = 1}, true));
  for (const i64 offset_groups : {1, 2})  // what tensor cores have tiles for
    add(deformable({3, 9, 10, 32}, 80, 2, 3, {.padding = 1, .groups = 2, .offset_groups = offset_groups}, true));
  const DeformConv2dParams plain{.padding = 1};
  add({.name = "zero offsets and masks of one are conv2d",
       .in = {uniform({1, 5, 6, 3}), constant({1, 5, 6, 18}, 0), constant({1, 5, 6, 9}, 1), uniform({4, 3, 3, 3}),
              absent()},
       .run = [=](const Vars& v) { return deform_conv2d(v[0], v[1], v[2], v[3], v[4], plain); },
       .reference = [=](const Tensors& t) { return naive_deform(t, plain); },
       .grad = {0, 2, 3},  // offsets at pixel centres are a kink of the bilinear weights
       .reduction = 27});
  add({.name = "offsets on the border of the map",
       .in = {uniform({4, 2, 2, 1}), values({4, 1, 1, 2}, {-1, 0, -0.5, -0.5, 1.5, 1.5, 2, 2}), absent(),
              uniform({1, 1, 1, 1}), absent()},
       .run = [](const Vars& v) { return deform_conv2d(v[0], v[1], v[2], v[3], v[4], {.stride = 9}); },
       .reference = [](const Tensors& t) { return naive_deform(t, {.stride = 9}); }});
  const double far = 3e30;
  add({.name = "huge and infinite offsets give zeros",
       .in = {uniform({1, 1, 4, 2}), values({1, 1, 4, 2}, {far, 0, 0, -far, INFINITY, 0, 0, -INFINITY}), absent(),
              uniform({1, 1, 1, 2}), constant({1}, 0.5)},
       .run = [](const Vars& v) { return deform_conv2d(v[0], v[1], v[2], v[3], v[4], {}); },
       .reference =
           [](const Tensors& t) {
             return Tensor::full({1, t[0].dim(1), t[0].dim(2), 1}, 0.5, DType::kF64);
           }});

  const auto run = [](const Shape& x, const Shape& offset, const Shape& mask, const Shape& w,
                      const DeformConv2dParams& p) {
    deform_conv2d(Var(Tensor::zeros(x)), Var(Tensor::zeros(offset)), mask.rank() ? Var(Tensor::zeros(mask)) : Var(),
                  Var(Tensor::zeros(w)), Var(), p);
  };
  error("offset channels", "deform_conv2d: offset must be [1, 3, 3, 18], got [1, 3, 3, 9]", [=] {
    run({1, 5, 5, 4}, {1, 3, 3, 9}, {}, {2, 3, 3, 4}, {});
  });
  error("offset size", "deform_conv2d: offset must be [1, 3, 3, 18], got [1, 5, 5, 18]", [=] {
    run({1, 5, 5, 4}, {1, 5, 5, 18}, {}, {2, 3, 3, 4}, {});
  });
  error("mask channels", "deform_conv2d: mask must be [1, 3, 3, 9], got [1, 3, 3, 18]", [=] {
    run({1, 5, 5, 4}, {1, 3, 3, 18}, {1, 3, 3, 18}, {2, 3, 3, 4}, {});
  });
  error("channels", "deform_conv2d: input has 4 channels", [=] {
    run({1, 5, 5, 4}, {1, 3, 3, 18}, {}, {2, 3, 3, 3}, {});
  });
  error("offset groups", "deform_conv2d: 4 channels cannot be split into 3 offset groups", [=] {
    run({1, 5, 5, 4}, {1, 3, 3, 54}, {}, {2, 3, 3, 4}, {.offset_groups = 3});
  });

  OpCase stage = deformable({1, 40, 40, 256}, 256, 3, 3, {.padding = 1}, true, 2, false);
  stage.flops = 2.0 * 40 * 40 * 256 * 9 * 256;
  bench(stage);
}

}  // namespace tessera::test
