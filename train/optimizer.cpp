#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "ops/optimizer.h"
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

double Optimizer::clip() {
  const double norm = std::sqrt(ops::sum_of_squares(gradients()));
  TESSERA_CHECK(std::isfinite(norm), "the gradient of {} is not finite", first_non_finite());
  if (config_.clip_norm > 0 && norm > config_.clip_norm) {
    const double factor = config_.clip_norm / (norm + 1e-6);
    for (const Slot& slot : slots_) {
      Tensor& gradient = slot.parameter->grad();
      if (!gradient) continue;
      if (!gradient.unique()) gradient = gradient.clone();  // two leaves may share the memory of one gradient
      ops::scale_into(gradient, factor);
    }
  }
  return norm;
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> all;
  for (const Slot& slot : slots_)
    if (slot.parameter->grad()) all.push_back(slot.parameter->grad());
  return all;
}

std::string Optimizer::first_non_finite() const {
  for (const Slot& slot : slots_)
    if (slot.parameter->grad() && !ops::all_finite(slot.parameter->grad())) return slot.name;
  return "all parameters together";  // each is finite, the sum of squares overflows
}

void Optimizer::step(double factor) {
  i64* steps = steps_.data<i64>();
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const Tensor& gradient = slot.parameter->grad();
    if (!gradient) continue;
    Tensor& value = slot.parameter->value();
    ++steps[i];
    if (config_.kind == OptimizerKind::kAdamW) {
      ops::adamw_step(value, gradient, slot.m, slot.v,
                      {.lr = slot.lr * factor,
                       .beta1 = config_.beta1,
                       .beta2 = config_.beta2,
                       .eps = config_.eps,
                       .weight_decay = slot.weight_decay,
                       .step = steps[i]});
    } else {
      ops::sgd_step(value, gradient, slot.m,
                    {.lr = slot.lr * factor,
                     .momentum = config_.momentum,
                     .weight_decay = slot.weight_decay,
                     .first_step = steps[i] == 1});
    }
  }
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
