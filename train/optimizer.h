// AdamW and SGD over a module's parameters, with groups by name and clipping of the gradients.
//
//   [[optimizer.groups]]          # biases and norms are not decayed,
//   match = ["norm", "bias"]
//   weight_decay = 0
//
//   [[optimizer.groups]]          # and the backbone, its norms among them, learns at a tenth of the rate
//   match = ["backbone.*"]
//   lr_factor = 0.1
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "ops/optimizer.h"
#include "tensor/fields.h"
#include "train/communicator.h"

namespace tessera {

enum class OptimizerKind { kAdamW, kSgd };
inline auto names_of(OptimizerKind) {
  return std::array{std::pair{"adamw", OptimizerKind::kAdamW}, std::pair{"sgd", OptimizerKind::kSgd}};
}

// What is special about some parameters. Each of the three settings comes from the first group that matches a
// parameter's name and gives it, or else from the optimiser.
struct ParameterGroup {
  std::vector<std::string> match;
  std::optional<double> lr_factor, weight_decay;
  std::optional<bool> frozen;
  bool operator==(const ParameterGroup&) const = default;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(match, "parts of names (\"norm\"), or, with * or ?, patterns of whole names (\"backbone.*\")");
    TESSERA_FIELD(lr_factor, "factor on optimizer.lr; absent: as the next group that matches says, or 1", at_least(0));
    TESSERA_FIELD(weight_decay, "absent: as the next group that matches says, or optimizer.weight_decay", at_least(0));
    TESSERA_FIELD(frozen, "true: not trained in the whole run; absent: as the next group that matches says, or false");
  }
};

// Defaults: SparseInst's.
struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double lr = 5e-5, weight_decay = 0.05;
  double clip_norm = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double momentum = 0.9;
  bool sharded = false;
  std::vector<ParameterGroup> groups = {
      {.match = {"norm", "patch_embed", "cls_token"}, .lr_factor = {}, .weight_decay = 0.0, .frozen = {}}};

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(kind, "rule of the update: AdamW, or SGD with momentum");
    TESSERA_FIELD(lr, "learning rate, for the batch of 64 of the paper; other batches: scale it in proportion",
                  at_least(0));
    TESSERA_FIELD(weight_decay, "decay of the parameters", at_least(0));
    TESSERA_FIELD(clip_norm, "largest norm of all gradients together; 0: no clipping", at_least(0));
    TESSERA_FIELD(beta1, "adamw: decay of the first moment", at_least(0).below(1));
    TESSERA_FIELD(beta2, "adamw: decay of the second moment", at_least(0).below(1));
    TESSERA_FIELD(eps, "adamw: added to the root of the second moment", above(0));
    TESSERA_FIELD(momentum, "sgd: decay of the velocity", between(0, 1));
    TESSERA_FIELD(sharded,
                  "of several processes each keeps the moments of a share of the parameters: less memory, the same "
                  "weights (docs/distributed.md)");
    TESSERA_FIELD(groups, "parameters of which other things hold; of several groups that say it the first decides");
  }
};

// The parameters that the groups freeze require no gradient any more. Gives for each group the number of parameters, as
// numbers, that it decides something of; a group that decides nothing is an error, but for the default one: a network
// need not have what it spares.
std::vector<i64> apply_groups(const OptimizerConfig& config, nn::Module& module);

class Optimizer {
 public:
  // Takes the parameters that require a gradient behind apply_groups. The module must outlive the optimiser.
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

  // Shares the moments among the ranks, each of which has those of some parameters (ZeRO's first stage: Rajbhandari et
  // al., SC 2020): as many numbers as can be had by whole parameters. step() then updates these, and gives the others'
  // their new values from the ranks that have them: it is collective.
  void shard(Communicator& communicator);
  // Collective: has the first rank have all moments, on the host, until drop_others().
  void collect();
  void drop_others();

  // The first parameter whose gradient is not finite. Where each one is, their sum of squares overflows: all of them.
  std::string first_non_finite() const;

  void zero_grad();

  // Name and memory of all that must survive a restart: "m.<parameter>", "v.<parameter>", "steps". Sharded: what is
  // here.
  std::vector<NamedTensor> state() const;

 private:
  struct Slot {
    std::string name;
    Var* parameter;
    double lr, weight_decay;
    Tensor m, v;    // first and second moment; sgd has no v; neither where another rank has them
    i64 owner = 0;  // the rank that has them
    bool moves() const { return parameter->grad().defined(); }
  };

  void exchange_parameters();

  OptimizerConfig config_;
  Communicator* communicator_ = nullptr;  // of the ranks that share the moments; null: all are here
  std::vector<Slot> slots_;
  Tensor steps_;  // i64 [slots]: updates each parameter has seen (t in the formula)
};

}  // namespace tessera
