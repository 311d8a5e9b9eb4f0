// AdamW and SGD over a module's parameters, with groups by name and clipping of the gradients.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "ops/optimizer.h"
#include "tensor/fields.h"

namespace tessera {

enum class OptimizerKind { kAdamW, kSgd };
inline auto names_of(OptimizerKind) {
  return std::array{std::pair{"adamw", OptimizerKind::kAdamW}, std::pair{"sgd", OptimizerKind::kSgd}};
}

// Defaults: SparseInst's.
struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double lr = 5e-5, weight_decay = 0.05;
  std::vector<std::string> no_decay = {"norm", "patch_embed", "cls_token"};
  double backbone_lr = 1, clip_norm = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double momentum = 0.9;

  template <class Field>
  void fields(Field&& field) {
    field("kind", kind, "rule of the update: AdamW, or SGD with momentum");
    field("lr", lr, "learning rate, for the batch of 64 of the paper; other batches: scale it in proportion",
          at_least(0));
    field("weight_decay", weight_decay, "decay of the parameters", at_least(0));
    field("no_decay", no_decay, "parameters with one of these in their name are not decayed");
    field("backbone_lr", backbone_lr, "factor on lr for parameters whose name begins with \"backbone.\"", at_least(0));
    field("clip_norm", clip_norm, "largest norm of all gradients together; 0: no clipping", at_least(0));
    field("beta1", beta1, "adamw: decay of the first moment", at_least(0).below(1));
    field("beta2", beta2, "adamw: decay of the second moment", at_least(0).below(1));
    field("eps", eps, "adamw: added to the root of the second moment", at_least(0));
    field("momentum", momentum, "sgd: decay of the velocity", between(0, 1));
  }
};

class Optimizer {
 public:
  // Takes the parameters that require a gradient now. The module must outlive the optimiser.
  Optimizer(const OptimizerConfig& config, nn::Module& module);

  // The L2 norm of all gradients together, and what they are multiplied by so that it is clip_norm at most: as
  // PyTorch's clip_grad_norm_, but that step() multiplies. Both stay on the device. The scale is NaN where the norm or
  // a value of `watched` is not finite.
  ops::GradientScale clip(const Tensor& watched = {}) const;

  // One update with learning rate lr * factor and g = scale gradient; the host does not wait for it. A parameter
  // without a gradient stays as it is, as in PyTorch.
  //   adamw  p *= 1 - lr wd;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
  //          p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)       (Loshchilov & Hutter, ICLR 2019)
  //   sgd    g += wd p;  m = mu m + g;  p -= lr m                              (as PyTorch)
  // With a scale of NaN the update is refused: parameters and moments stay as they are. When the host learns of it, it
  // calls take_back(), before the gradients go: the step does not count.
  void step(double factor, const Tensor& scale = {});
  void take_back();

  // The first parameter whose gradient is not finite. Where each one is, their sum of squares overflows: all of them.
  std::string first_non_finite() const;

  void zero_grad();

  // Name and memory of all that must survive a restart: "m.<parameter>", "v.<parameter>", "steps".
  std::vector<NamedTensor> state() const;

 private:
  struct Slot {
    std::string name;
    Var* parameter;
    double lr, weight_decay;
    Tensor m, v;  // first and second moment; sgd has no v
    bool moves() const { return parameter->grad().defined(); }
  };

  OptimizerConfig config_;
  std::vector<Slot> slots_;
  Tensor steps_;  // i64 [slots]: updates each parameter has seen (t in the formula)
};

}  // namespace tessera
