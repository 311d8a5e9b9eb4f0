// Cases of ms_deform_attn.
#include <cmath>

#include "autograd/ms_deform_attn.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using Levels = std::vector<ops::LevelSize>;

double tent(double v, i64 pixel) {
  return std::max(0.0, 1 - std::abs(v - static_cast<double>(pixel)));
}

// Every pixel of every level with the weight of a tent around each sample.
References naive_ms_deform_attn(const Tensors& t, const Levels& levels) {
  const Tensor &value = t[0], &location = t[1], &weight = t[2];
  const i64 N = value.dim(0), Q = weight.dim(1), M = value.dim(2), P = weight.dim(4), d = value.dim(3);
  Tensor y = Tensor::zeros({N, Q, M * d}, DType::kF64);
  for (i64 n = 0; n < N; ++n)
    for (i64 q = 0; q < Q; ++q)
      for (i64 m = 0; m < M; ++m) {
        i64 start = 0;
        for (size_t l = 0; l < levels.size(); ++l) {
          const i64 H = levels[l].height, W = levels[l].width, level = static_cast<i64>(l);
          for (i64 p = 0; p < P; ++p) {
            const double u = at(location, n, q, m, level, p, 0) * static_cast<double>(W) - 0.5;
            const double v = at(location, n, q, m, level, p, 1) * static_cast<double>(H) - 0.5;
            for (i64 pixel = 0; pixel < H * W; ++pixel)
              for (i64 c = 0; c < d; ++c)
                at(y, n, q, m * d + c) += at(weight, n, q, m, level, p) * tent(v, pixel / W) * tent(u, pixel % W) *
                                          at(value, n, start + pixel, m, c);
          }
          start += H * W;
        }
      }
  return y;
}

i64 tokens(const Levels& levels) {
  i64 sum = 0;
  for (const ops::LevelSize& level : levels) sum += level.height * level.width;
  return sum;
}

OpCase attention(const std::string& name, i64 N, i64 Q, i64 heads, i64 d, i64 P, const Levels& levels, double lo = -0.2,
                 double hi = 1.2) {
  const i64 L = static_cast<i64>(levels.size()), S = tokens(levels);
  return {
      .name = fmt::format("{} N={} S={} Q={} heads={} d={} L={} P={}", name, N, S, Q, heads, d, L, P),
      .in = {uniform({N, S, heads, d}), uniform({N, Q, heads, L, P, 2}, lo, hi), uniform({N, Q, heads, L, P}, 0, 1)},
      .run = [=](const Vars& v) { return ms_deform_attn(v[0], levels, v[1], v[2]); },
      .reference = [=](const Tensors& t) { return naive_ms_deform_attn(t, levels); },
      .grad = {0, 1, 2},
      .reduction = static_cast<double>(4 * L * P + Q)};
}

}  // namespace

OP_CASES(ms_deform_attn) {
  in_bf16({1, 2});
  const Levels three{{6, 8}, {3, 4}, {2, 2}};
  add(attention("small", 2, 5, 4, 8, 4, three));
  add(attention("one of everything", 1, 1, 1, 1, 1, {{1, 1}}, 0.1, 0.9));
  add(attention("32 channels", 1, 7, 2, 32, 4, {{5, 7}, {3, 4}, {2, 3}, {1, 2}}));
  add(attention("odd", 1, 6, 3, 21, 3, {{4, 9}, {1, 1}}));
  add(attention("wide heads", 1, 3, 1, 130, 2, {{5, 4}, {2, 2}}));
  add(attention("many samples of one head", 1, 2, 1, 5, 37, {{3, 3}}));
  add(attention("mostly outside", 1, 9, 2, 8, 2, three, -3, 4));
  add(attention("no queries", 2, 0, 2, 4, 2, three));
  add(attention("no points", 1, 3, 2, 4, 0, three));
  add(attention("no images", 0, 3, 2, 4, 2, three));
  add(attention("no channels", 1, 3, 2, 0, 2, three));
  OpCase odd = attention("NaN and infinity give zeros", 1, 4, 1, 3, 1, {{2, 2}});
  odd.in[1] = values({1, 4, 1, 1, 1, 2}, {NAN, 0.5, 0.5, INFINITY, -INFINITY, 0.5, 3e38, NAN});
  odd.reference = [](const Tensors&) { return Tensor::zeros({1, 4, 3}, DType::kF64); };
  odd.grad = {};
  add(odd);

  const auto run = [=](const Shape& value, const Levels& levels, const Shape& locations, const Shape& weights) {
    ms_deform_attn(Var(Tensor::zeros(value)), levels, Var(Tensor::zeros(locations)), Var(Tensor::zeros(weights)));
  };
  error("tokens", "ms_deform_attn: the 3 levels have 64 pixels, value has 60 tokens: [1, 60, 2, 4]", [=] {
    run({1, 60, 2, 4}, three, {1, 5, 2, 3, 4, 2}, {1, 5, 2, 3, 4});
  });
  error("no levels", "ms_deform_attn: the 0 levels have 0 pixels", [=] {
    run({1, 0, 2, 4}, {}, {1, 5, 2, 0, 4, 2}, {1, 5, 2, 0, 4});
  });
  error("empty level", "ms_deform_attn: a level of 0 x 3 pixels; each side must lie in 1 to", [=] {
    run({1, 4, 2, 4}, {{2, 2}, {0, 3}}, {1, 5, 2, 2, 4, 2}, {1, 5, 2, 2, 4});
  });
  error("heads", "ms_deform_attn: attention_weights must be [1, 5, 2, 3, 4], got [1, 5, 3, 3, 4]", [=] {
    run({1, 64, 2, 4}, three, {1, 5, 3, 3, 4, 2}, {1, 5, 3, 3, 4});
  });
  error("locations", "ms_deform_attn: sampling_locations must be [1, 5, 2, 3, 4, 2], got [1, 5, 2, 3, 1, 2]", [=] {
    run({1, 64, 2, 4}, three, {1, 5, 2, 3, 1, 2}, {1, 5, 2, 3, 4});
  });
  error("rank", "ms_deform_attn: value must be [N, S, heads, d], got [1, 64, 8]", [=] {
    run({1, 64, 8}, three, {1, 5, 2, 3, 4, 2}, {1, 5, 2, 3, 4});
  });

  OpCase encoder = attention("encoder", 1, 8500, 8, 32, 4, {{80, 80}, {40, 40}, {20, 20}, {10, 10}}, 0, 1);
  encoder.flops = 2.0 * 8500 * 256 * 4 * 4 * 4;
  bench(encoder);
}

}  // namespace tessera::test
