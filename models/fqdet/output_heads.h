// What is read off the queries behind the last layer: classes, boxes, and in FQDetV2's detection the boxes' scores.
//
//   paper     classes and boxes each: x = norm-linear(q),  x += norm-linear(x),  linear(x)
//   release   classes: linear(q);  boxes and scores each: linear, LayerNorm, (linear, ReLU) twice, linear
#pragma once

#include "models/fqdet/config.h"
#include "models/fqdet/layers.h"

namespace tessera::fqdet {

// The paper's.
class Tower : public nn::Module {
 public:
  Tower(i64 channels, i64 out, Random& random);
  Var operator()(const Var& q) const;  // [N, C] -> [N, out]
  void visit(nn::Visitor& v) override;

 private:
  NormLinear first_, update_;
  nn::Linear last_;
};

// The release's.
class Perceptron : public nn::Module {
 public:
  Perceptron(i64 channels, i64 out, Random& random);
  Var operator()(const Var& q) const;  // [N, C] -> [N, out]
  void visit(nn::Visitor& v) override;

 private:
  nn::Linear first_, second_, third_, last_;
  nn::LayerNorm norm_;
};

class OutputHeads : public nn::Module {
 public:
  OutputHeads(const Config& config, i64 channels, Random& random);
  struct Result {
    Var class_logits, deltas, box_scores;  // [N, K + 1], [N, 4], [N] or undefined
  };
  Result operator()(const Var& q) const;  // [N, C]
  void visit(nn::Visitor& v) override;

 private:
  std::optional<Tower> class_tower_, box_tower_;
  std::optional<nn::Linear> class_lin_;
  std::optional<Perceptron> box_perceptron_, box_score_;
};

}  // namespace tessera::fqdet
