#include "train/optimizer.h"

#include <algorithm>

#include "ops/reduce.h"

namespace tessera {

Optimizer::Optimizer(const OptimizerConfig& config, nn::Module& module) : config_(config) {
  for (const auto& [name, parameter] : nn::named_parameters(module)) {
    if (!parameter->requires_grad()) continue;
    const bool decayed = std::none_of(config.no_decay.begin(), config.no_decay.end(),
                                      [&](const std::string& part) { return name.find(part) != std::string::npos; });
    const Tensor& value = parameter->value();
    const auto moment = [&] { return Tensor::zeros(value.shape(), value.dtype(), value.device()); };
    slots_.push_back({name, parameter, config.lr * (name.starts_with("backbone.") ? config.backbone_lr : 1),
                      decayed ? config.weight_decay : 0, moment(),
                      config.kind == OptimizerKind::kAdamW ? moment() : Tensor()});
  }
  TESSERA_CHECK(!slots_.empty(), "optimizer: no parameter requires a gradient, there is nothing to train");
  steps_ = Tensor::zeros({static_cast<i64>(slots_.size())}, DType::kI64);
}

ops::GradientScale Optimizer::clip(const Tensor& watched) const {
  std::vector<Tensor> gradients;
  for (const Slot& slot : slots_)
    if (slot.moves()) gradients.push_back(slot.parameter->grad());
  const Tensor sum =
      gradients.empty() ? Tensor::zeros({1}, DType::kF64, slots_[0].m.device()) : ops::sum_of_squares(gradients);
  return ops::clip_grad_norm(sum, config_.clip_norm, watched);
}

void Optimizer::step(double factor, const Tensor& scale) {
  i64* steps = steps_.data<i64>();
  std::vector<ops::AdamWUpdate> adamw;
  std::vector<ops::SgdUpdate> sgd;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (!slot.moves()) continue;
    ++steps[i];
    const Tensor &value = slot.parameter->value(), &gradient = slot.parameter->grad();
    if (config_.kind == OptimizerKind::kAdamW) {
      adamw.push_back({value,
                       gradient,
                       slot.m,
                       slot.v,
                       {.lr = slot.lr * factor,
                        .beta1 = config_.beta1,
                        .beta2 = config_.beta2,
                        .eps = config_.eps,
                        .weight_decay = slot.weight_decay,
                        .step = steps[i]}});
    } else {
      sgd.push_back({value,
                     gradient,
                     slot.m,
                     {.lr = slot.lr * factor,
                      .momentum = config_.momentum,
                      .weight_decay = slot.weight_decay,
                      .first_step = steps[i] == 1}});
    }
  }
  ops::adamw_step(adamw, scale);
  ops::sgd_step(sgd, scale);
}

void Optimizer::take_back() {
  for (size_t i = 0; i < slots_.size(); ++i) steps_.data<i64>()[i] -= slots_[i].moves();
}

std::string Optimizer::first_non_finite() const {
  for (const Slot& slot : slots_)
    if (slot.moves() && !ops::all_finite(slot.parameter->grad())) return slot.name;
  return "all parameters together";
}

void Optimizer::zero_grad() {
  for (Slot& slot : slots_) slot.parameter->zero_grad();
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state{{"steps", steps_}};
  for (const Slot& slot : slots_) {
    state.push_back({"m." + slot.name, slot.m});
    if (slot.v) state.push_back({"v." + slot.name, slot.v});
  }
  return state;
}

}  // namespace tessera
