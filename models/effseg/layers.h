// The small parts of EffSeg's head. Names are those of its code, where these are sequences of layers with and without
// parameters.
#pragma once

#include <vector>

#include "nn/layers.h"

namespace tessera::effseg {

// Linear, ReLU, Linear.
class Mlp : public nn::Module {
 public:
  Mlp() = default;
  Mlp(i64 in, i64 hidden, i64 out, Random& random);
  Var operator()(const Var& x) const;
  void visit(nn::Visitor& v) override;

 private:
  nn::Linear first_, second_;
};

// From a cell's features to those of its four children: what it has itself plus a two-layer MLP, whose first layer is
// another for each child, and the second is so when `separate`.
class ChildMlp : public nn::Module {
 public:
  ChildMlp() = default;
  ChildMlp(i64 width, bool separate, Random& random);
  Var operator()(const Var& parents) const;  // [n, F] -> [4 n, F], 4 p + c for child c of row p
  void visit(nn::Visitor& v) override;

 private:
  nn::Linear first_;
  std::vector<nn::Linear> second_;  // one, or one per child
};

// Where a cell of a grid of size x size lies, f32 [size, size, C]: with u = (x + 1/2) / size, v likewise from y, and
// periods T_j = 10000^(4 j / C), j < C / 4: [sin(2 pi u / T), cos(2 pi u / T), sin(2 pi v / T), cos(2 pi v / T)].
Tensor position_encoding(i64 size, i64 channels);

}  // namespace tessera::effseg
