// The layers that all mask heads begin with.
#pragma once

#include "nn/layers.h"

namespace tessera::roi_heads {

// What a query knows goes into the features of its RoI:           Picron and Tuytelaars, EffSeg, section 3.1
//   y = x + W2 relu(W1 [relu(Wq q), x])      at every cell; W1 and W2 are 1x1 convolutions, [a, b] joins channels
class QueryFusion : public nn::Module {
 public:
  QueryFusion() = default;
  QueryFusion(i64 channels, Random& random);
  Var operator()(const Var& features, const Var& queries) const;  // [R, S, S, C], [R, C] -> [R, S, S, C]
  void visit(nn::Visitor& v) override;

 private:
  nn::Linear query_;
  nn::Conv2d first_, second_;
};

// The fully convolutional part of a head: 3x3 convolutions that keep size and width, each with its ReLU.
class Fcn : public nn::Module {
 public:
  Fcn() = default;
  Fcn(i64 channels, i64 layers, Random& random);
  Var operator()(Var x) const;
  void visit(nn::Visitor& v) override;

 private:
  std::vector<nn::Conv2d> convs_;
};

}  // namespace tessera::roi_heads
