#include <cmath>

#include "autograd/norm.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

constexpr double kEps = 1e-5;

Tensor naive_layer_norm(const Tensors& t, double eps) {
  Tensor y = t[0].clone();
  const i64 C = t[0].dim(-1), R = C > 0 ? t[0].numel() / C : 0;
  const double count = static_cast<double>(C);
  for (i64 r = 0; r < R; ++r) {
    double* row = y.data<double>() + r * C;
    double mean = 0, var = 0;
    for (i64 c = 0; c < C; ++c) mean += row[c] / count;
    for (i64 c = 0; c < C; ++c) var += (row[c] - mean) * (row[c] - mean) / count;
    for (i64 c = 0; c < C; ++c)
      row[c] = (row[c] - mean) / std::sqrt(var + eps) * (t[1].defined() ? t[1].data<double>()[c] : 1) +
               (t[2].defined() ? t[2].data<double>()[c] : 0);
  }
  return y;
}

}  // namespace

OP_CASES(layer_norm) {
  in_bf16({1, 2});
  const auto one = [&](const std::string& name, const Input& x, i64 C, bool weight, bool bias, bool grad = true) {
    OpCase c{.name = fmt::format("{}{}{}", name, weight ? "" : " no weight", bias ? "" : " no bias"),
             .in = {x, weight ? uniform({C}, 0.5, 1.5) : absent(), bias ? uniform({C}) : absent()},
             .run = [](const Vars& v) { return layer_norm(v[0], v[1], v[2], kEps); },
             .reference = [](const Tensors& t) { return naive_layer_norm(t, kEps); },
             .reduction = static_cast<double>(std::max<i64>(C, 1))};
    if (grad) c.grad.push_back(0);
    if (grad && weight) c.grad.push_back(1);
    if (grad && bias) c.grad.push_back(2);
    add(c);
  };
  for (const bool weight : {true, false})
    for (const bool bias : {true, false}) {
      one("[2, 9, 7]", uniform({2, 9, 7}, -2, 2), 7, weight, bias);
      one("[5, 67]", uniform({5, 67}, -2, 2), 67, weight, bias);
    }
  one("one row", uniform({16}, -2, 2), 16, true, true);
  one("one value per row is the bias", uniform({3, 1}, -2, 2), 1, true, true, false);  // its gradients are rounding
  one("more rows than a chunk", uniform({1030, 3}, -1, 3), 3, true, true);
  one("no rows", uniform({0, 4}), 4, true, true);
  one("rows of nothing", uniform({3, 0}), 0, true, true);
  one("longer than a block", uniform({3, 5003}, -2, 2), 5003, true, true, false);
  // The mean is 86 times the deviation: E[x^2] - E[x]^2 in f32 would lose 4 digits.
  one("large mean", uniform({6, 33}, 49, 51), 33, true, true);
  one("constant rows", constant({4, 8}, 3), 8, true, true, false);
  one("NaN and infinity stay in their rows", values({4, 3}, {1, NAN, 2, 1, 2, 4, 1, INFINITY, 2, 0, 1, 5}), 3, true,
      true, false);

  const auto call = [](const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
    layer_norm(Var(x), Var(weight), Var(bias), eps);
  };
  const Tensor x = Tensor::zeros({2, 3}), c3 = Tensor::zeros({3});
  error("weight of another length", "layer_norm: weight must be [3] for x [2, 3], got [4]",
        [=] { call(x, Tensor::zeros({4}), c3, kEps); });
  error("bias in f64", "layer_norm: bias is f64, x is f32",
        [=] { call(x, c3, Tensor::zeros({3}, DType::kF64), kEps); });
  error("negative eps", "eps must not be negative", [=] { call(x, c3, c3, -1); });
  error("a number without a dimension", "layer_norm: x must be [..., C]",
        [=] { call(Tensor::zeros({}), Tensor(), Tensor(), kEps); });
  error("integers", "layer_norm: dtype i64 is not supported", [=] {
    call(Tensor::zeros({2, 3}, DType::kI64), Tensor(), Tensor(), kEps);
  });

  bench({.name = "[40000, 256]",
         .in = {uniform({40000, 256}), uniform({256}), uniform({256})},
         .run = [](const Vars& v) { return layer_norm(v[0], v[1], v[2], kEps); },
         .grad = {0, 1, 2},
         .bytes = 2.0 * 40000 * 256 * 4});
}

}  // namespace tessera::test
