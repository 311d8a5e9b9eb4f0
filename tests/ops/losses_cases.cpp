#include <cmath>

#include "autograd/losses.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

// Written with log(1 + exp) of the sign that cannot overflow: t log(1 + e^-x) + (1 - t) log(1 + e^x).
double naive_bce(double x, double t) {
  const auto softplus = [](double v) { return v > 0 ? v + std::log1p(std::exp(-v)) : std::log1p(std::exp(v)); };
  return t * softplus(-x) + (1 - t) * softplus(x);
}

double naive_focal(double x, double t, double alpha, double gamma) {
  const double q = logistic(x) * (1 - t) + logistic(-x) * t;
  const double weight = alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
  return weight * std::pow(q, gamma) * naive_bce(x, t);
}

double naive_smooth_l1(double x, double t, double beta) {
  const double d = std::abs(x - t);
  return d < beta ? d * d / (2 * beta) : d - beta / 2;
}

References reduce(const Tensor& losses, Reduction reduction) {
  if (reduction == Reduction::kNone) return losses;
  double sum = 0;
  for (const double x : losses.span<double>()) sum += x;
  if (reduction == Reduction::kMean) sum = losses.numel() > 0 ? sum / static_cast<double>(losses.numel()) : 0;
  return Tensor::full({}, sum, DType::kF64);
}

template <class F>
References naive_elements(const Tensors& t, Reduction reduction, F&& loss) {
  Tensor losses = t[0].clone();
  for (i64 i = 0; i < losses.numel(); ++i)
    losses.data<double>()[i] = loss(t[0].data<double>()[i], t[1].data<double>()[i]);
  return reduce(losses, reduction);
}

References naive_dice(const Tensors& t, double eps, Reduction reduction) {
  const i64 R = t[0].dim(0), P = R > 0 ? t[0].numel() / R : 0;
  Tensor losses = Tensor::empty({R}, DType::kF64);
  for (i64 r = 0; r < R; ++r) {
    double product = 0, squares = eps;
    for (i64 p = 0; p < P; ++p) {
      const double s = logistic(t[0].data<double>()[r * P + p]), target = t[1].data<double>()[r * P + p];
      product += s * target;
      squares += s * s + target * target;
    }
    losses.data<double>()[r] = 1 - 2 * product / squares;
  }
  return reduce(losses, reduction);
}

References naive_cross_entropy(const Tensors& t, Reduction reduction) {
  const i64 R = t[0].dim(0), K = t[0].dim(1);
  Tensor losses = Tensor::empty({R}, DType::kF64);
  for (i64 r = 0; r < R; ++r) {
    const double* x = t[0].data<double>() + r * K;
    const double largest = *std::max_element(x, x + K);
    double sum = 0;
    for (i64 k = 0; k < K; ++k) sum += std::exp(x[k] - largest);
    losses.data<double>()[r] = std::log(sum) + largest - x[t[1].data<i64>()[r]];
  }
  return reduce(losses, reduction);
}

References naive_pairwise_dice(const Tensors& t, double eps) {
  const i64 Q = t[0].dim(0), K = t[1].dim(0), P = t[0].dim(1);
  Tensor scores = Tensor::empty({Q, K}, DType::kF64);
  for (i64 q = 0; q < Q; ++q)
    for (i64 k = 0; k < K; ++k) {
      double product = 0, squares = eps;
      for (i64 p = 0; p < P; ++p) {
        const double s = logistic(t[0].data<double>()[q * P + p]), target = t[1].data<double>()[k * P + p];
        product += s * target;
        squares += s * s + target * target;
      }
      scores.data<double>()[q * K + k] = 2 * product / squares;
    }
  return scores;
}

const char* name_of(Reduction reduction) {
  return reduction == Reduction::kNone ? "none" : reduction == Reduction::kSum ? "sum" : "mean";
}

}  // namespace

OP_CASES(losses) {
  constexpr Reduction kReductions[] = {Reduction::kNone, Reduction::kSum, Reduction::kMean};

  // An elementwise loss over all reductions, sizes and kinds of targets.
  const auto elementwise = [&](const std::string& op, const std::string& parameters, double range, auto run,
                               auto loss) {
    const auto one = [&](const std::string& name, const Input& x, const Input& t, double count, bool gradient) {
      for (const Reduction reduction : kReductions)
        add({.op = op,
             .name = fmt::format("{} {} {}", parameters, name, name_of(reduction)),
             .in = {x, t},
             .run = [=](const Vars& v) { return run(v[0], v[1].value(), reduction); },
             .reference = [=](const Tensors& t) { return naive_elements(t, reduction, loss); },
             .grad = gradient ? std::vector<int>{0} : std::vector<int>{},
             .reduction = count});
    };
    one("hard targets", uniform({3, 5, 7}, -range, range), binary({3, 5, 7}), 105, true);
    one("soft targets", uniform({41}, -range, range), uniform({41}, 0, 1), 41, true);
    one("longer than a block", uniform({2, 4500}, -range, range), binary({2, 4500}), 9000, true);
    one("empty", uniform({0, 5}), binary({0, 5}), 1, true);
    one("one number", uniform({}, -range, range), binary({}), 1, true);
    one("extremes", values({8}, {-80, 80, -80, 80, 0, 30, -30, NAN}), values({8}, {0, 0, 1, 1, 1, 1, 0, 1}), 8, false);
  };
  elementwise(
      "binary_cross_entropy_with_logits", "", 5,
      [](const Var& x, const Tensor& t, Reduction r) { return binary_cross_entropy_with_logits(x, t, r); }, naive_bce);
  for (const auto& [alpha, gamma] :
       {std::array<double, 2>{0.25, 2}, {-1, 2}, {0.5, 0}, {0.75, 1}, {0.25, 0.5}, {1, 3.5}})
    elementwise(
        "sigmoid_focal_loss", fmt::format("alpha={} gamma={}", alpha, gamma), 5,
        [=](const Var& x, const Tensor& t, Reduction r) { return sigmoid_focal_loss(x, t, alpha, gamma, r); },
        [=](double x, double t) { return naive_focal(x, t, alpha, gamma); });
  elementwise(
      "quality_focal_loss", "", 5, [](const Var& x, const Tensor& t, Reduction r) { return quality_focal_loss(x, t, r); },
      [](double x, double t) { return std::pow(logistic(x) - t, 2) * naive_bce(x, t); });
  elementwise(
      "l1_loss", "", 3, [](const Var& x, const Tensor& t, Reduction r) { return l1_loss(x, t, r); },
      [](double x, double t) { return std::abs(x - t); });
  for (const double beta : {0.0, 0.5, 1.0})
    elementwise(
        "smooth_l1_loss", fmt::format("beta={}", beta), 3,
        [=](const Var& x, const Tensor& t, Reduction r) { return smooth_l1_loss(x, t, beta, r); },
        [=](double x, double t) { return naive_smooth_l1(x, t, beta); });

  for (const Reduction reduction : kReductions) {
    const auto dice = [&](const std::string& name, const Shape& shape, const Input& t, double eps) {
      add({.op = "dice_loss",
           .name = fmt::format("{} {} eps={} {}", name, shape, eps, name_of(reduction)),
           .in = {uniform(shape, -5, 5), t},
           .run = [=](const Vars& v) { return dice_loss(v[0], v[1].value(), eps, reduction); },
           .reference = [=](const Tensors& t) { return naive_dice(t, eps, reduction); },
           .grad = {0},
           .reduction = static_cast<double>(shape.numel())});
    };
    dice("hard targets", {4, 6, 5}, binary({4, 6, 5}), 5e-5);
    dice("soft targets", {3, 37}, uniform({3, 37}, 0, 1), 1e-4);
    dice("longer than a block", {2, 5000}, binary({2, 5000}), 1e-4);
    dice("nothing to find", {2, 9}, constant({2, 9}, 0), 1);
    dice("no rows", {0, 4, 4}, binary({0, 4, 4}), 1e-4);
    dice("no pixels", {3, 0}, binary({3, 0}), 1);

    const auto classes = [&](const std::string& name, i64 R, i64 K, double range, const Input& t) {
      add({.op = "cross_entropy",
           .name = fmt::format("{} [{}, {}] {}", name, R, K, name_of(reduction)),
           .in = {uniform({R, K}, -range, range), t},
           .run = [=](const Vars& v) { return cross_entropy(v[0], v[1].value(), reduction); },
           .reference = [=](const Tensors& t) { return naive_cross_entropy(t, reduction); },
           .grad = {0},
           .reduction = static_cast<double>(R * K)});
    };
    classes("rows", 19, 7, 5, integers({19}, 0, 6));
    classes("one class", 4, 1, 5, integers({4}, 0, 0));
    classes("more classes than a piece", 3, 1203, 5, integers({3}, 0, 1202));
    classes("large logits", 5, 33, 200, integers({5}, 0, 32));
    classes("no rows", 0, 7, 5, integers({0}, 0, 6));
  }
  for (const auto& [Q, K, P] : {std::array<i64, 3>{7, 3, 40}, {2, 5, 4100}, {4, 0, 9}, {0, 3, 9}, {3, 2, 0}})
    add({.op = "pairwise_dice",
         .name = fmt::format("Q={} K={} P={}", Q, K, P),
         .in = {uniform({Q, P}, -5, 5), uniform({K, P}, 0, 1)},
         .run = [](const Vars& v) { return Var(ops::pairwise_dice(v[0].value(), v[1].value(), 1e-4)); },
         .reference = [](const Tensors& t) { return naive_pairwise_dice(t, 1e-4); },
         .reduction = static_cast<double>(P)});

  const Tensor x = Tensor::zeros({2, 3}), rows = Tensor::zeros({2}, DType::kI64);
  error("l1_loss", "shapes differ", "l1_loss: x [2, 3] and targets [3, 2] differ in shape", [=] {
    l1_loss(Var(x), Tensor::zeros({3, 2}), Reduction::kSum);
  });
  error("binary_cross_entropy_with_logits", "targets in f64",
        "binary_cross_entropy_with_logits: x is f32, targets are f64",
        [=] { binary_cross_entropy_with_logits(Var(x), x.to(DType::kF64), Reduction::kSum); });
  error("sigmoid_focal_loss", "negative gamma", "sigmoid_focal_loss: gamma must not be negative, got -1",
        [=] { sigmoid_focal_loss(Var(x), x, 0.25, -1, Reduction::kSum); });
  error("smooth_l1_loss", "negative beta", "smooth_l1_loss: beta must not be negative",
        [=] { smooth_l1_loss(Var(x), x, -0.5, Reduction::kSum); });
  error("dice_loss", "no rows to count", "dice_loss: x must be [R, ...], got []",
        [=] { dice_loss(Var(Tensor::zeros({})), Tensor::zeros({}), 1, Reduction::kSum); });
  error("cross_entropy", "class beyond the last", "cross_entropy: row 1 has class 3, the logits have 3 classes", [=] {
    cross_entropy(Var(x), Tensor::from(std::vector<i64>{0, 3}), Reduction::kMean);
  });
  error("cross_entropy", "negative class", "cross_entropy: row 0 has class -100", [=] {
    cross_entropy(Var(x), Tensor::from(std::vector<i64>{-100, 0}), Reduction::kMean);
  });
  error("cross_entropy", "no classes", "cross_entropy: row 0 has class 0, the logits have 0 classes", [=] {
    cross_entropy(Var(Tensor::zeros({2, 0})), rows, Reduction::kMean);
  });
  error("cross_entropy", "classes in f32", "cross_entropy: classes must be i64, got f32",
        [=] { cross_entropy(Var(x), Tensor::zeros({2}), Reduction::kMean); });
  error("cross_entropy", "other number of rows", "cross_entropy: x must be [R, K] and classes [R], got [3, 3] and [2]",
        [=] {
          cross_entropy(Var(Tensor::zeros({3, 3})), rows, Reduction::kMean);
        });
  error("pairwise_dice", "pixels differ",
        "pairwise_dice: logits must be [Q, P] and targets [K, P], got [2, 3] and [4, 5]", [=] {
          ops::pairwise_dice(x, Tensor::zeros({4, 5}), 1e-4);
        });

  const Shape maps{100, 25600};
  const double bytes = 2.0 * static_cast<double>(maps.numel()) * 4;
  bench({.op = "binary_cross_entropy_with_logits",
         .name = "[100, 25600] mean",
         .in = {uniform(maps, -5, 5), binary(maps)},
         .run = [](const Vars& v) { return binary_cross_entropy_with_logits(v[0], v[1].value(), Reduction::kMean); },
         .grad = {0},
         .bytes = bytes});
  bench({.op = "sigmoid_focal_loss",
         .name = "[100, 25600] sum",
         .in = {uniform(maps, -5, 5), binary(maps)},
         .run = [](const Vars& v) { return sigmoid_focal_loss(v[0], v[1].value(), 0.25, 2, Reduction::kSum); },
         .grad = {0},
         .bytes = bytes});
  bench({.op = "dice_loss",
         .name = "[100, 25600] sum",
         .in = {uniform(maps, -5, 5), binary(maps)},
         .run = [](const Vars& v) { return dice_loss(v[0], v[1].value(), 1e-4, Reduction::kSum); },
         .grad = {0},
         .bytes = bytes});
}

}  // namespace tessera::test
