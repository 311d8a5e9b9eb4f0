// Cases of conv2d.
#include <algorithm>

#include "autograd/conv2d.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using ops::Activation;
using ops::Conv2dParams;

i64 out_size(i64 in, i64 kernel, const Conv2dParams& p) {
  return (in + 2 * p.padding - p.dilation * (kernel - 1) - 1) / p.stride + 1;
}

// y[n, oh, ow, o] = act(b[o] + sum_{kh, kw, i} x[n, oh s - p + kh d, ow s - p + kw d, g I + i] w[o, kh, kw, i])
References naive_conv2d(const Tensors& t, const Conv2dParams& p) {
  const Tensor &x = t[0], &w = t[1], &b = t[2];
  const i64 N = x.dim(0), H = x.dim(1), W = x.dim(2), Co = w.dim(0), Kh = w.dim(1), Kw = w.dim(2), I = w.dim(3);
  const i64 Ho = out_size(H, Kh, p), Wo = out_size(W, Kw, p);
  Tensor y = Tensor::zeros({N, Ho, Wo, Co}, DType::kF64);
  for (i64 n = 0; n < N; ++n)
    for (i64 oh = 0; oh < Ho; ++oh)
      for (i64 ow = 0; ow < Wo; ++ow)
        for (i64 o = 0; o < Co; ++o) {
          const i64 g = o / (Co / p.groups);
          double sum = b.defined() ? at(b, o) : 0;
          for (i64 kh = 0; kh < Kh; ++kh)
            for (i64 kw = 0; kw < Kw; ++kw) {
              const i64 h = oh * p.stride - p.padding + kh * p.dilation,
                        v = ow * p.stride - p.padding + kw * p.dilation;
              if (h < 0 || h >= H || v < 0 || v >= W) continue;
              for (i64 i = 0; i < I; ++i) sum += at(x, n, h, v, g * I + i) * at(w, o, kh, kw, i);
            }
          at(y, n, oh, ow, o) = p.activation == Activation::kRelu ? std::max(sum, 0.0) : sum;
        }
  return y;
}

// x [N, H, W, Ci], weight [Co, Kh, Kw, Ci / groups]
OpCase convolution(const Shape& x, i64 Co, i64 Kh, i64 Kw, const Conv2dParams& p, bool bias = true) {
  const i64 I = x[3] / p.groups;
  return {
      .name = fmt::format("x={} out={} k={}x{} s={} p={} d={} g={}{}{}", x, Co, Kh, Kw, p.stride, p.padding, p.dilation,
                          p.groups, p.activation == Activation::kRelu ? " relu" : "", bias ? "" : " no bias"),
      .in = {uniform(x), uniform({Co, Kh, Kw, I}, -0.5, 0.5), bias ? uniform({Co}) : absent()},
      .run = [=](const Vars& v) { return conv2d(v[0], v[1], v[2], p); },
      .reference = [=](const Tensors& t) { return naive_conv2d(t, p); },
      .grad = bias ? std::vector<int>{0, 1, 2} : std::vector<int>{0, 1},
      .reduction = static_cast<double>(Kh * Kw * I)};
}

OpCase timed(const Shape& x, i64 Co, i64 K, const Conv2dParams& p) {
  OpCase one = convolution(x, Co, K, K, p, false);
  one.flops = 2.0 * static_cast<double>(x[0] * out_size(x[1], K, p) * out_size(x[2], K, p)) *
              static_cast<double>(Co * K * K * x[3] / p.groups);
  return one;
}

}  // namespace

OP_CASES(conv2d) {
  in_bf16();
  add(convolution({1, 1, 1, 1}, 1, 1, 1, {}));
  add(convolution({2, 5, 4, 3}, 6, 1, 1, {}));
  add(convolution({2, 5, 4, 3}, 6, 1, 1, {.stride = 2}));
  add(convolution({1, 6, 7, 5}, 4, 3, 3, {.padding = 1}));
  add(convolution({2, 9, 8, 7}, 5, 3, 3, {.stride = 2, .padding = 1}));
  add(convolution({1, 8, 9, 4}, 3, 3, 3, {.padding = 2, .dilation = 2}));
  add(convolution({1, 10, 9, 3}, 5, 3, 3, {.stride = 2, .padding = 3, .dilation = 3}));
  add(convolution({1, 15, 14, 3}, 8, 7, 7, {.stride = 2, .padding = 3}));
  add(convolution({1, 6, 7, 2}, 3, 2, 4, {.padding = 1}));  // an even kernel that is not square
  add(convolution({1, 3, 3, 2}, 3, 3, 3, {}));              // one output pixel
  add(convolution({1, 2, 3, 2}, 3, 3, 3, {.padding = 4}));  // windows that see padding alone
  add(convolution({1, 9, 9, 2}, 3, 2, 2, {.stride = 5}));   // pixels that no window sees
  add(convolution({1, 5, 6, 8}, 12, 3, 3, {.padding = 1, .groups = 4}));
  add(convolution({2, 5, 6, 6}, 6, 1, 1, {.groups = 3}));
  add(convolution({1, 5, 6, 4}, 8, 3, 3, {.padding = 1, .groups = 4}));  // one input channel per group, two outputs
  for (const i64 C : {1, 5, 16, 37})                                     // depthwise
    for (const i64 stride : {1, 2})
      add(convolution({2, 7, 6, C}, C, 3, 3, {.stride = stride, .padding = 1, .groups = C}));
  add(convolution({1, 12, 11, 9}, 9, 5, 5, {.padding = 4, .dilation = 2, .groups = 9}));
  add(convolution({1, 6, 9, 8}, 8, 3, 3, {.groups = 8}));
  add(convolution({1, 4, 9, 8}, 8, 3, 3, {.padding = 4, .groups = 8}));  // a border of pixels that see padding alone
  add(convolution({1, 7, 9, 8}, 8, 3, 3, {.padding = 1, .dilation = 2, .groups = 8}));
  add(convolution({2, 12, 11, 32}, 48, 3, 3, {.padding = 1, .groups = 2}));  // what tensor cores have tiles for
  for (const i64 groups : {1, 6})
    add(convolution({1, 5, 6, 6}, 6, 3, 3, {.padding = 1, .groups = groups, .activation = Activation::kRelu}));
  add(convolution({2, 5, 6, 6}, 9, 1, 1, {.activation = Activation::kRelu}, false));
  add(convolution({1, 5, 6, 3}, 4, 3, 3, {.padding = 1}, false));
  add(convolution({35, 4, 5, 3}, 4, 3, 3, {.padding = 1}));     // many images
  add(convolution({1, 23, 21, 70}, 41, 3, 3, {.padding = 1}));  // beyond blocks of channels, K = 630
  add(convolution({1, 6, 5, 300}, 130, 1, 1, {}));
  add(convolution({0, 5, 6, 3}, 4, 3, 3, {.padding = 1}));  // no images
  add({.name = "NaN reaches only the windows that see it",
       .in = {values({1, 1, 5, 1}, {1, 2, NAN, 4, 5}), uniform({1, 1, 2, 1}), absent()},
       .run = [](const Vars& v) { return conv2d(v[0], v[1], v[2], {}); },
       .reference = [](const Tensors& t) { return naive_conv2d(t, {}); }});

  const auto run = [](const Shape& x, const Shape& w, const Shape& b, const Conv2dParams& p) {
    conv2d(Var(Tensor::zeros(x)), Var(Tensor::zeros(w)), b.rank() ? Var(Tensor::zeros(b)) : Var(), p);
  };
  error("channels", "conv2d: input has 4 channels", [=] { run({1, 5, 5, 4}, {2, 3, 3, 3}, {}, {}); });
  error("groups", "3 output channels cannot be split into 2", [=] {
    run({1, 5, 5, 4}, {3, 3, 3, 2}, {}, {.groups = 2});
  });
  error("rank", "conv2d: x must be [N, H, W, Cin]", [=] { run({5, 5, 4}, {3, 3, 3, 4}, {}, {}); });
  error("bias", "conv2d: bias must be [3]", [=] { run({1, 5, 5, 4}, {3, 3, 3, 4}, {4}, {}); });
  error("kernel larger than the input", "conv2d: the kernel covers 3 x 3", [=] {
    run({1, 2, 5, 4}, {3, 3, 3, 4}, {}, {});
  });
  error("stride 0", "conv2d: stride 0", [=] { run({1, 5, 5, 4}, {3, 3, 3, 4}, {}, {.stride = 0}); });
  error("negative padding", "padding -1", [=] { run({1, 5, 5, 4}, {3, 3, 3, 4}, {}, {.padding = -1}); });
  error("dtypes", "conv2d: weight has dtype f64", [] {
    conv2d(Var(Tensor::zeros({1, 5, 5, 4})), Var(Tensor::zeros({3, 3, 3, 4}, DType::kF64)), Var(), {});
  });

  bench(timed({1, 160, 160, 64}, 64, 3, {.padding = 1}));  // ResNet-50 at 640 x 640
  bench(timed({1, 80, 80, 512}, 128, 1, {}));
  bench(timed({1, 40, 40, 256}, 256, 3, {.padding = 1}));
  bench(timed({1, 640, 640, 3}, 64, 7, {.stride = 2, .padding = 3}));
  bench(timed({1, 80, 80, 256}, 256, 3, {.padding = 1, .groups = 256}));
}

}  // namespace tessera::test
