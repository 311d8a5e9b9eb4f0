#include <cmath>

#include "autograd/conv2d.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using Params = ops::ConvTranspose2dParams;

i64 out_size(i64 in, i64 kernel, const Params& p) {
  return (in - 1) * p.stride - 2 * p.padding + p.dilation * (kernel - 1) + p.output_padding + 1;
}

// Every pixel of x puts its kernel down: y[h s - p + kh d, w s - p + kw d] += x[h, w] weight[kh, kw].
Tensor naive_conv_transpose(const Tensors& t, const Params& p) {
  const Tensor &x = t[0], &w = t[1], &b = t[2];
  const i64 C = x.dim(3), O = w.dim(3);
  Tensor y = Tensor::zeros({x.dim(0), out_size(x.dim(1), w.dim(1), p), out_size(x.dim(2), w.dim(2), p), O * p.groups},
                           DType::kF64);
  for (i64 n = 0; n < x.dim(0); ++n)
    for (i64 h = 0; h < x.dim(1); ++h)
      for (i64 v = 0; v < x.dim(2); ++v)
        for (i64 kh = 0; kh < w.dim(1); ++kh)
          for (i64 kw = 0; kw < w.dim(2); ++kw) {
            const i64 row = h * p.stride - p.padding + kh * p.dilation;
            const i64 column = v * p.stride - p.padding + kw * p.dilation;
            if (row < 0 || row >= y.dim(1) || column < 0 || column >= y.dim(2)) continue;
            for (i64 c = 0; c < C; ++c)
              for (i64 o = 0; o < O; ++o)
                at(y, n, row, column, c / (C / p.groups) * O + o) += at(x, n, h, v, c) * at(w, c, kh, kw, o);
          }
  if (b.defined())
    for (i64 i = 0; i < y.numel(); ++i) y.data<double>()[i] += b.data<double>()[i % b.numel()];
  return y;
}

OpCase transposed(const Shape& x, i64 Co, i64 Kh, i64 Kw, const Params& p, bool bias = true) {
  OpCase one{.name = fmt::format("x={} out={} k={}x{} s={} p={} op={} d={} g={}{}", x, Co, Kh, Kw, p.stride, p.padding,
                                 p.output_padding, p.dilation, p.groups, bias ? "" : " no bias"),
             .in = {uniform(x), uniform({x[3], Kh, Kw, Co / p.groups}, -0.5, 0.5), bias ? uniform({Co}) : absent()},
             .run = [=](const Vars& v) { return conv_transpose2d(v[0], v[1], v[2], p); },
             .reference = [=](const Tensors& t) { return naive_conv_transpose(t, p); },
             .grad = {0, 1},
             .reduction = static_cast<double>(Kh * Kw * x[3] / p.groups)};
  if (bias) one.grad.push_back(2);
  return one;
}

}  // namespace

OP_CASES(conv_transpose2d) {
  in_bf16({}, 0x1p-8);  // the bias is added to a rounded sum
  for (const bool bias : {true, false}) {
    add(transposed({1, 1, 1, 1}, 1, 1, 1, {}, bias));
    add(transposed({2, 3, 4, 5}, 3, 2, 2, {.stride = 2}, bias));  // the tiling path
    add(transposed({2, 3, 4, 5}, 3, 3, 3, {.stride = 2, .padding = 1, .output_padding = 1}, bias));
  }
  add(transposed({1, 2, 3, 20}, 33, 3, 3, {.stride = 3}));                     // tiling, beyond one tile of the product
  add(transposed({2, 3, 4, 5}, 3, 2, 2, {.stride = 2, .output_padding = 1}));  // almost tiling: a row without a source
  add(transposed({1, 3, 4, 6}, 4, 2, 2, {.stride = 2, .groups = 2}));
  add(transposed({1, 3, 4, 5}, 2, 2, 3, {.stride = 2}));  // kernel and stride agree along one axis
  add(transposed({2, 4, 3, 4}, 3, 4, 4, {.stride = 2, .padding = 1}));
  add(transposed({2, 4, 3, 20}, 1, 4, 4, {.stride = 2, .padding = 1}));  // few channels: gathered from one product
  add(transposed({1, 4, 5, 40}, 3, 3, 3, {.stride = 2, .padding = 2, .output_padding = 1, .dilation = 2}, false));
  add(transposed({1, 5, 4, 6}, 6, 3, 3, {.padding = 1, .groups = 3}));
  add(transposed({1, 4, 5, 4}, 4, 3, 3, {.padding = 2, .dilation = 2}));
  add(transposed({1, 4, 5, 4}, 4, 3, 3, {.stride = 2, .padding = 2, .output_padding = 1, .dilation = 2, .groups = 4}));
  add(transposed({1, 3, 3, 2}, 2, 1, 1, {.stride = 3}));  // most pixels of y have no source: the bias alone
  add(transposed({0, 3, 4, 5}, 3, 2, 2, {.stride = 2}));
  add(transposed({0, 3, 4, 5}, 3, 3, 3, {.stride = 2}));
  add({.name = "a NaN reaches the pixels that its kernel covers",
       .in = {values({1, 2, 2, 1}, {1, NAN, 2, 3}), uniform({1, 3, 3, 2}), absent()},
       .run = [](const Vars& v) { return conv_transpose2d(v[0], v[1], v[2], {.stride = 2}); },
       .reference = [](const Tensors& t) { return naive_conv_transpose(t, {.stride = 2}); }});

  const auto run = [](const Shape& x, const Shape& w, const Tensor& bias, const Params& p) {
    conv_transpose2d(Var(Tensor::zeros(x)), Var(Tensor::zeros(w)), Var(bias), p);
  };
  error("channels", "conv_transpose2d: input has 4 channels, weight expects 5", [=] {
    run({1, 3, 3, 4}, {5, 2, 2, 3}, Tensor(), {});
  });
  error("groups", "conv_transpose2d: 4 channels cannot be split into 3 groups", [=] {
    run({1, 3, 3, 4}, {4, 2, 2, 3}, Tensor(), {.groups = 3});
  });
  error("output padding", "output_padding 2 must be at least 0 and smaller than the stride 2", [=] {
    run({1, 3, 3, 4}, {4, 2, 2, 3}, Tensor(), {.stride = 2, .output_padding = 2});
  });
  error("bias", "conv_transpose2d: bias must be [3], got [4]", [=] {
    run({1, 3, 3, 4}, {4, 2, 2, 3}, Tensor::zeros({4}), {});
  });
  error("nothing is left", "gives an output of 0x0 pixels", [=] {
    run({1, 1, 1, 4}, {4, 2, 2, 3}, Tensor(), {.padding = 1});
  });
  error("no pixels", "conv_transpose2d: x [1, 0, 3, 4] with a 2x2 kernel", [=] {
    run({1, 0, 3, 4}, {4, 2, 2, 3}, Tensor(), {});
  });
  error("rank", "conv_transpose2d: x must be [N, H, W, Cin]", [=] { run({3, 3, 4}, {4, 2, 2, 3}, Tensor(), {}); });
  error("dtypes", "conv_transpose2d: weight has dtype f64", [] {
    conv_transpose2d(Var(Tensor::zeros({1, 3, 3, 4})), Var(Tensor::zeros({4, 2, 2, 3}, DType::kF64)), Var(), {});
  });

  OpCase mask_head = transposed({100, 14, 14, 256}, 256, 2, 2, {.stride = 2});
  mask_head.flops = 2.0 * 100 * 14 * 14 * 256 * 256 * 4;
  bench(mask_head);
}

}  // namespace tessera::test
