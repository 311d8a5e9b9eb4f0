// The layers that the models are built from. Constructors allocate and initialise as PyTorch's do (uniform with bound
// 1/sqrt(fan_in) for convolutions and linear layers); nn/init.h has the other initialisers.
#pragma once

#include "autograd/conv2d.h"
#include "nn/module.h"
#include "tensor/random.h"

namespace tessera::nn {

struct Conv2dConfig {
  i64 in = 0, out = 0, kernel = 1, stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  ops::Activation activation = ops::Activation::kNone;   // fused; has no parameters
};

// weight [out, kernel, kernel, in/groups], bias [out]
class Conv2d : public Module {
 public:
  Conv2d() = default;                                    // undefined until assigned
  Conv2d(const Conv2dConfig& config, Random& random);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  const Conv2dConfig& config() const { return config_; }
  Var weight, bias;

 private:
  Conv2dConfig config_;
};

// y = x weight^T + bias over the last dimension; weight [out, in]
class Linear : public Module {
 public:
  Linear() = default;
  Linear(i64 in, i64 out, Random& random, bool with_bias = true);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  Var weight, bias;
};

}  // namespace tessera::nn
