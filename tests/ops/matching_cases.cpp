#include <cmath>

#include "ops/matching.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

References naive_dice_class_score(const Tensors& t, const ops::DiceClassScoreParams& params) {
  const i64 Q = t[0].dim(0), K = t[1].dim(0), P = t[0].dim(1), C = t[2].dim(1);
  Tensor scores = Tensor::empty({Q, K}, DType::kF64);
  for (i64 q = 0; q < Q; ++q)
    for (i64 k = 0; k < K; ++k) {
      double product = 0, squares = params.eps;
      for (i64 p = 0; p < P; ++p) {
        const double s = logistic(t[0].data<double>()[q * P + p]), target = t[1].data<double>()[k * P + p];
        product += s * target;
        squares += s * s + target * target;
      }
      const double probability = logistic(t[2].data<double>()[q * C + t[3].data<i64>()[k]]);
      scores.data<double>()[q * K + k] =
          std::pow(2 * product / squares, params.dice_exponent) * std::pow(probability, params.class_exponent);
    }
  return scores;
}

References naive_mask_ious(const Tensors& t, double mask_threshold, double target_threshold) {
  const i64 rows = t[0].dim(0), pixels = t[0].dim(1);
  Tensor ious = Tensor::empty({rows}, DType::kF64);
  for (i64 p = 0; p < rows; ++p) {
    double both = 0, either = 0;
    for (i64 i = p * pixels; i < (p + 1) * pixels; ++i) {
      const bool a = logistic(t[0].data<double>()[i]) >= mask_threshold, b = t[1].data<double>()[i] > target_threshold;
      both += a && b ? 1 : 0;
      either += a || b ? 1 : 0;
    }
    ious.data<double>()[p] = both / (either + 1e-6);
  }
  return ious;
}

}  // namespace

OP_CASES(matching) {
  for (const auto& [Q, K, P, C] : {std::array<i64, 4>{3, 2, 7, 4}, {1, 1, 1, 1}, {40, 17, 1030, 80}, {5, 0, 4, 2}})
    for (const ops::DiceClassScoreParams& params :
         {ops::DiceClassScoreParams{}, ops::DiceClassScoreParams{1e-3, 0.5, 0}})
      add({.op = "dice_class_score",
           .name = fmt::format("Q={} K={} P={} C={} exponents {} {}", Q, K, P, C, params.dice_exponent,
                               params.class_exponent),
           .in = {uniform({Q, P}, -5, 5), uniform({K, P}, 0, 1), uniform({Q, C}, -5, 5), integers({K}, 0, C - 1)},
           .run =
               [=](const Vars& v) {
                 return Var(ops::dice_class_score(v[0].value(), v[1].value(), v[2].value(), v[3].value(), params));
               },
           .reference = [=](const Tensors& t) { return naive_dice_class_score(t, params); },
           .reduction = static_cast<double>(P)});

  const auto ious = [](const Vars& v) { return Var(ops::mask_ious(v[0].value(), v[1].value(), 0.4, 0.5)); };
  const auto naive = [](const Tensors& t) { return naive_mask_ious(t, 0.4, 0.5); };
  for (const Shape& shape : {Shape{1, 1}, {3, 7}, {9, 1500}, {0, 5}, {2, 0}})
    add({.op = "mask_ious",
         .name = shape.str(),
         .in = {uniform(shape, -3, 3), uniform(shape, 0, 1)},
         .run = ious,
         .reference = naive});
  // The target's bound is not in it; a NaN is nowhere; nothing at all is 0.
  add({.op = "mask_ious",
       .name = "bounds and NaN",
       .in = {values({3, 4}, {5, 5, 5, -5, NAN, 5, -5, -5, -5, -5, -5, -5}),
              values({3, 4}, {0.5, 0.51, 1, 1, 1, NAN, 0, 0, 0, 0, 0, 0.5})},
       .run = ious,
       .reference = naive});

  const Tensor masks = Tensor::zeros({2, 3}), targets = Tensor::zeros({4, 3}), logits = Tensor::zeros({2, 5});
  const auto score = [=](const Tensor& l, const Tensor& classes) {
    return [=] { ops::dice_class_score(masks, targets, l, classes, {}); };
  };
  error("dice_class_score", "a class too few",
        "dice_class_score: one class (i64) per row of the targets [4, 3] is needed, got i64 [3]",
        score(logits, Tensor::zeros({3}, DType::kI64)));
  error("dice_class_score", "a class that does not exist",
        "dice_class_score: object 0 has class 5, there are 5 classes",
        score(logits, Tensor::full({4}, 5, DType::kI64)));
  error("dice_class_score", "other queries", "masks must be [Q, P] and logits [Q, C], got [2, 3] and [3, 5]",
        score(Tensor::zeros({3, 5}), Tensor::zeros({4}, DType::kI64)));
  error("mask_ious", "shapes differ",
        "mask_ious: masks and targets must be of one shape [P, pixels] and dtype, got f32 [2, 3] and f32 [4, 3]",
        [=] { ops::mask_ious(masks, targets, 0.4, 0.5); });
}

}  // namespace tessera::test
