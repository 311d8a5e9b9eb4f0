// The terms of the loss on a small made-up output, against their formulas in double.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "models/fqdet/criterion.h"

using namespace tessera;
using namespace tessera::fqdet;

namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double cross_entropy(double x, double t) {
  return std::log1p(std::exp(x)) - x * t;
}
double focal(double x, double t) {
  const double p = sigmoid(x), q = p * (1 - t) + (1 - p) * t;
  return (0.25 * t + 0.75 * (1 - t)) * q * q * cross_entropy(x, t);
}
double quality_focal(double x, double t) {
  return std::pow(sigmoid(x) - t, 2) * cross_entropy(x, t);
}

// Two queries on anchors of 10 x 10; the first is moved right by 5 and learns an object of class 1 on its anchor.
struct Case {
  Output output;
  GroundTruth truth;
  QueryMatches matched;
  Tensor selection = Tensor::from(std::vector<float>{0, 1}, {1, 2});
  Config config;

  Case() {
    output.selection = Var(Tensor::from(std::vector<float>{-1, 0.5}, {1, 2}), true);
    output.anchors = Tensor::from(std::vector<float>{0, 0, 10, 10, 20, 0, 30, 10}, {2, 4});
    output.class_logits = Var(Tensor::from(std::vector<float>{0.5, -0.5, 1, 2, -1, 0}, {2, 3}), true);
    output.deltas = Var(Tensor::from(std::vector<float>{0.5, 0, 0, 0, 1, 1, 1, 1}, {2, 4}), true);
    output.box_scores = Var(Tensor::from(std::vector<float>{0.25, 3}, {2}), true);
    truth = {Tensor::from(std::vector<float>{0, 0, 10, 10}, {1, 4}),
             Tensor::from(std::vector<float>{0, 1, 0, 0, 0, 1}, {2, 3}), Tensor::zeros({1}, DType::kI64)};
    matched = {Tensor::from(std::vector<i64>{0, 1}),
               {Tensor::zeros({1}, DType::kI64), Tensor::zeros({1}, DType::kI64)}};
    config.num_classes = 2;
  }

  // The four terms, 0 where there is none.
  std::vector<double> losses() const {
    std::vector<double> terms;
    for (const LossTerm& term : loss_terms(output, selection, truth, matched, config))
      terms.push_back(term.value.value().item());
    return terms;
  }
};

constexpr double kIou = 50.0 / 150;

}  // namespace

TEST_CASE("fqdet losses: the paper's sums") {
  Case c;
  c.output.box_scores = {};
  const std::vector<double> terms = c.losses();
  REQUIRE(terms.size() == 3);
  CHECK(terms[0] == doctest::Approx(focal(-1, 0) + focal(0.5, 1)));
  CHECK(terms[1] ==
        doctest::Approx(focal(0.5, 0) + focal(-0.5, 1) + focal(1, 0) + focal(2, 0) + focal(-1, 0) + focal(0, 1)));
  CHECK(terms[2] == doctest::Approx(0.5));
}

TEST_CASE("fqdet losses: the release's sums, in which the matched class learns the IoU of the box") {
  Case c;
  c.config.form = Form::kRelease;
  const std::vector<double> terms = c.losses();
  REQUIRE(terms.size() == 4);
  CHECK(terms[1] == doctest::Approx(quality_focal(0.5, 0) + quality_focal(-0.5, kIou) + quality_focal(1, 0) +
                                    quality_focal(2, 0) + quality_focal(-1, 0) + quality_focal(0, 1)));
  CHECK(terms[2] == doctest::Approx(1 - kIou - 0.05));
  CHECK(terms[3] == doctest::Approx(0.2 * std::abs(0.25 - std::log(kIou / (1 - kIou)))));
}

TEST_CASE("fqdet losses: the box score moves the score of the matched query alone, and no box") {
  Case c;
  c.config.form = Form::kRelease;
  loss_terms(c.output, c.selection, c.truth, c.matched, c.config).back().value.backward();
  CHECK(c.output.box_scores.grad().data<float>()[0] == doctest::Approx(0.2));
  CHECK(c.output.box_scores.grad().data<float>()[1] == 0);
  CHECK(!c.output.deltas.grad().defined());
}

TEST_CASE("fqdet losses: weights are factors") {
  Case c;
  c.config.form = Form::kRelease;
  const std::vector<double> plain = c.losses();
  c.config.loss = {.selection_weight = 3, .class_weight = 0.5, .box_weight = 1.85, .score_weight = 0.4};
  const std::vector<double> weighted = c.losses();
  for (const auto& [term, factor] : {std::pair{0, 3.0}, {1, 0.5}, {2, 1.85}, {3, 2.0}})
    CHECK(weighted[static_cast<size_t>(term)] == doctest::Approx(factor * plain[static_cast<size_t>(term)]));
}

TEST_CASE("fqdet losses: score targets end at logits of one in a thousand") {
  const Tensor targets = score_targets(Tensor::from(std::vector<float>{0, 0.5, 0.75, 1}));
  CHECK(targets.data<float>()[0] == doctest::Approx(std::log(1e-3)));
  CHECK(targets.data<float>()[1] == doctest::Approx(0));
  CHECK(targets.data<float>()[2] == doctest::Approx(std::log(3.0)));
  CHECK(targets.data<float>()[3] == doctest::Approx(std::log(1e3)));
}
