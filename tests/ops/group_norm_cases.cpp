#include <cmath>

#include "autograd/norm.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

constexpr double kEps = 1e-5;

Tensor naive_group_norm(const Tensors& t, i64 G) {
  Tensor y = t[0].clone();
  if (t[0].numel() == 0) return y;
  const i64 N = t[0].dim(0), C = t[0].dim(-1), P = t[0].numel() / N / C, size = C / G;
  const double count = static_cast<double>(P * size);
  for (i64 n = 0; n < N; ++n)
    for (i64 g = 0; g < G; ++g) {
      double* sample = y.data<double>() + n * P * C;
      const auto each = [&](const auto& body) {
        for (i64 p = 0; p < P; ++p)
          for (i64 c = g * size; c < (g + 1) * size; ++c) body(sample[p * C + c], c);
      };
      double mean = 0, var = 0;
      each([&](double& v, i64) { mean += v / count; });
      each([&](double& v, i64) { var += (v - mean) * (v - mean) / count; });
      each([&](double& v, i64 c) {
        v = (v - mean) / std::sqrt(var + kEps) * (t[1].defined() ? t[1].data<double>()[c] : 1) +
            (t[2].defined() ? t[2].data<double>()[c] : 0);
      });
    }
  return y;
}

}  // namespace

OP_CASES(group_norm) {
  in_bf16({1, 2});
  const auto one = [&](const std::string& name, const Shape& shape, i64 G, bool weight, bool bias, double lo, double hi,
                       bool grad = true) {
    const i64 C = shape[-1];
    OpCase c{.name = fmt::format("{}{} in {} groups{}{}", name, shape, G, weight ? "" : " no weight",
                                 bias ? "" : " no bias"),
             .in = {uniform(shape, lo, hi), weight ? uniform({C}, 0.5, 1.5) : absent(), bias ? uniform({C}) : absent()},
             .run = [=](const Vars& v) { return group_norm(v[0], G, v[1], v[2], kEps); },
             .reference = [=](const Tensors& t) { return naive_group_norm(t, G); },
             .reduction = static_cast<double>(std::max<i64>(shape.numel(), 1))};
    if (grad) c.grad.push_back(0);
    if (grad && weight) c.grad.push_back(1);
    if (grad && bias) c.grad.push_back(2);
    add(c);
  };
  for (const bool weight : {true, false})
    for (const bool bias : {true, false}) one("", {2, 5, 3, 8}, 4, weight, bias, -2, 2);
  one("", {2, 5, 3, 8}, 1, true, true, -2, 2);
  one("", {2, 5, 3, 8}, 8, true, true, -2, 2);
  one("no map ", {3, 12}, 3, true, true, -2, 2);
  one("volume ", {2, 2, 3, 2, 6}, 2, true, true, -2, 2);
  one("more rows than a chunk ", {2, 20, 33, 3}, 1, true, true, -1, 3);
  one("more channels than a block ", {2, 7, 150}, 5, true, true, -2, 2);
  one("many channels ", {1, 9, 4200}, 30, true, true, -2, 2, false);
  one("many sums to join ", {1, 260, 704}, 1, true, true, -2, 2);
  one("no samples ", {0, 4, 4, 4}, 2, true, true, -2, 2);
  one("no pixels ", {2, 0, 4, 4}, 2, true, true, -2, 2);
  one("no channels ", {2, 3, 0}, 1, true, true, -2, 2);
  // The mean is 86 times the deviation: E[x^2] - E[x]^2 in f32 would lose 4 digits.
  one("large mean ", {2, 16, 16, 4}, 2, true, true, 49, 51);
  add({.name = "NaN and infinity stay in their groups",
       .in = {values({2, 2, 4}, {1, NAN, 2, 1, 2, 4, 1, 0.5, 2, 0, 1, 5, INFINITY, 3, 2, 1}), absent(), absent()},
       .run = [](const Vars& v) { return group_norm(v[0], 2, v[1], v[2], kEps); },
       .reference = [](const Tensors& t) { return naive_group_norm(t, 2); }});

  const auto call = [](const Tensor& x, i64 G, const Tensor& weight, const Tensor& bias, double eps) {
    group_norm(Var(x), G, Var(weight), Var(bias), eps);
  };
  const Tensor x = Tensor::zeros({2, 3, 6}), c6 = Tensor::zeros({6});
  error("groups that do not divide", "group_norm: 6 channels cannot be split into 4 groups; x [2, 3, 6]",
        [=] { call(x, 4, c6, c6, kEps); });
  error("no groups", "group_norm: 6 channels cannot be split into 0 groups", [=] { call(x, 0, c6, c6, kEps); });
  error("weight of another length", "group_norm: weight must be [6] for x [2, 3, 6], got [4]",
        [=] { call(x, 2, Tensor::zeros({4}), c6, kEps); });
  error("bias in f64", "group_norm: bias is f64, x is f32",
        [=] { call(x, 2, c6, Tensor::zeros({6}, DType::kF64), kEps); });
  error("negative eps", "eps must not be negative", [=] { call(x, 2, c6, c6, -1); });
  error("one dimension", "group_norm: x must be [N, ..., C], got [6]", [=] { call(c6, 2, c6, c6, kEps); });
  error("integers", "group_norm: dtype i64 is not supported", [=] {
    call(Tensor::zeros({2, 3, 6}, DType::kI64), 2, Tensor(), Tensor(), kEps);
  });

  bench({.name = "[1, 160, 160, 256] in 32 groups",
         .in = {uniform({1, 160, 160, 256}), uniform({256}), uniform({256})},
         .run = [](const Vars& v) { return group_norm(v[0], 32, v[1], v[2], kEps); },
         .grad = {0, 1, 2},
         .bytes = 2.0 * 160 * 160 * 256 * 4});
}

}  // namespace tessera::test
