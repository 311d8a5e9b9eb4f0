#include <cmath>

#include "autograd/norm.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

constexpr double kEps = 1e-5, kMomentum = 0.1;

// Inputs: x, weight, bias, running_mean, running_var. Outputs: y, and if asked the running statistics afterwards, which
// have no gradient.
Outputs run_batch_norm(const Vars& v, bool training, bool statistics) {
  Tensor mean = v[3].value().clone(), var = v[4].value().clone();
  const Var y = batch_norm(v[0], v[1], v[2], mean, var, training, kMomentum, kEps);
  if (statistics) return {y, Var(mean), Var(var)};
  return y;
}

References naive_batch_norm(const Tensors& t, bool training, bool statistics) {
  Tensor y = t[0].clone(), running_mean = t[3].clone(), running_var = t[4].clone();
  const i64 C = t[0].dim(-1), P = C > 0 ? t[0].numel() / C : 0;
  for (i64 c = 0; c < C; ++c) {
    double mean = t[3].data<double>()[c], var = t[4].data<double>()[c];
    if (training && P > 0) {
      mean = var = 0;
      for (i64 p = 0; p < P; ++p) mean += t[0].data<double>()[p * C + c] / static_cast<double>(P);
      for (i64 p = 0; p < P; ++p) var += std::pow(t[0].data<double>()[p * C + c] - mean, 2) / static_cast<double>(P);
      const double unbiased = var * static_cast<double>(P) / static_cast<double>(P - 1);
      running_mean.data<double>()[c] += kMomentum * (mean - running_mean.data<double>()[c]);
      running_var.data<double>()[c] += kMomentum * (unbiased - running_var.data<double>()[c]);
    }
    for (i64 p = 0; p < P; ++p)
      y.data<double>()[p * C + c] =
          (t[0].data<double>()[p * C + c] - mean) / std::sqrt(var + kEps) * t[1].data<double>()[c] +
          t[2].data<double>()[c];
  }
  if (statistics) return {y, running_mean, running_var};
  return y;
}

}  // namespace

OP_CASES(batch_norm) {
  in_bf16({1, 2, 3, 4});
  const auto one = [&](const std::string& name, const Shape& shape, bool training, double lo, double hi,
                       const std::vector<int>& grad) {
    const Shape channels{shape[-1]};
    const bool statistics = grad.empty();
    add({.name = fmt::format("{} {} training={}{}", name, shape, training, statistics ? " and its statistics" : ""),
         .in = {uniform(shape, lo, hi), uniform(channels, 0.5, 1.5), uniform(channels), uniform(channels, -0.1, 0.1),
                uniform(channels, 0.5, 1.5)},
         .run = [=](const Vars& v) { return run_batch_norm(v, training, statistics); },
         .reference = [=](const Tensors& t) { return naive_batch_norm(t, training, statistics); },
         .grad = grad,
         .reduction = static_cast<double>(shape[-1] > 0 ? shape.numel() / shape[-1] : 1)});
  };
  for (bool training : {true, false})
    for (const std::vector<int>& grad : {std::vector<int>{0, 1, 2}, std::vector<int>{}}) {
      one("map", {2, 5, 3, 7}, training, -2, 2, grad);
      one("rows", {9, 4}, training, -2, 2, grad);
      one("one channel", {1, 4, 4, 1}, training, -2, 2, grad);
      one("three values", {3, 3}, training, -2, 2, grad);
      one("more rows than a chunk", {3, 20, 11, 3}, training, -1, 3, grad);
      one("no rows", {0, 4, 4, 3}, training, -2, 2, grad);
      one("no channels", {2, 3, 0}, training, -2, 2, grad);
      one("many channels", {7, 2050}, training, -2, 2, grad);
    }
  one("so many rows that chunks grow", {1, 370, 360, 1}, true, -2, 2, {0, 1, 2});
  one("two values", {2, 3}, true, -2, 2, {});  // the gradient of x is all rounding: two values are always +-1
  one("frozen", {2, 5, 3, 7}, false, -2, 2, {0});
  one("frozen, channels by eight", {1, 9, 17, 64}, false, -2, 2, {0});
  one("one value", {1, 4}, false, -2, 2, {0, 1, 2});
  // The mean is 86 times the deviation: E[x^2] - E[x]^2 in f32 would lose 4 digits.
  one("large mean", {2, 16, 16, 3}, true, 49, 51, {0, 1, 2});

  const auto channels = [](i64 n) { return Tensor::full({n}, 1); };
  const auto call = [=](const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& var, double eps) {
    Tensor running_mean = channels(3), running_var = var;
    batch_norm(Var(x), Var(weight), Var(bias), running_mean, running_var, true, kMomentum, eps);
  };
  const Tensor x = Tensor::zeros({2, 3});
  error("one value per channel", "batch_norm: training needs more than 1 value per channel, x is [1, 1, 1, 3]", [=] {
    call(Tensor::zeros({1, 1, 1, 3}), channels(3), channels(3), channels(3), kEps);
  });
  error("weight of another length", "batch_norm: weight must be [3] for x [2, 3], got [4]",
        [=] { call(x, channels(4), channels(3), channels(3), kEps); });
  error("bias missing", "batch_norm: bias is missing", [=] { call(x, channels(3), Tensor(), channels(3), kEps); });
  error("running_var in f64", "batch_norm: running_var is f64, x is f32",
        [=] { call(x, channels(3), channels(3), Tensor::full({3}, 1, DType::kF64), kEps); });
  error("negative eps", "eps must not be negative", [=] { call(x, channels(3), channels(3), channels(3), -1e-5); });
  error("integers", "batch_norm: dtype i64 is not supported", [=] {
    const Tensor i = Tensor::zeros({2, 3}, DType::kI64), c = Tensor::zeros({3}, DType::kI64);
    Tensor mean = c, var = c;
    batch_norm(Var(i), Var(c), Var(c), mean, var, true, kMomentum, kEps);
  });

  bench({.name = "training [8, 80, 80, 64]",
         .in = {uniform({8, 80, 80, 64}), uniform({64}), uniform({64}), uniform({64}), uniform({64}, 0.5, 1)},
         .run = [](const Vars& v) { return run_batch_norm(v, true, false); },
         .grad = {0, 1, 2},
         .bytes = 2.0 * 8 * 80 * 80 * 64 * 4});
}

}  // namespace tessera::test
