#include "train/optimizer.h"

#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>

#include "ops/arrange.h"
#include "ops/reduce.h"

namespace tessera {

namespace {

bool matches(const ParameterGroup& group, const std::string& name) {
  return std::ranges::any_of(group.match, [&](const std::string& pattern) {
    if (pattern.find_first_of("*?") == std::string::npos) return name.find(pattern) != std::string::npos;
    return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

struct ParameterSettings {
  double lr, weight_decay;
  bool frozen;
};

// Of the parameter of this name. `deciding` becomes true for the groups that they come from.
ParameterSettings settings_of(const OptimizerConfig& config, const std::string& name, std::vector<bool>& deciding) {
  deciding.assign(config.groups.size(), false);
  const auto first = [&]<class T>(std::optional<T> ParameterGroup::*setting, T otherwise) {
    for (size_t g = 0; g < config.groups.size(); ++g) {
      const std::optional<T>& value = config.groups[g].*setting;
      if (!value || !matches(config.groups[g], name)) continue;
      deciding[g] = true;
      return *value;
    }
    return otherwise;
  };
  return {.lr = config.lr * first(&ParameterGroup::lr_factor, 1.0),
          .weight_decay = first(&ParameterGroup::weight_decay, config.weight_decay),
          .frozen = first(&ParameterGroup::frozen, false)};
}

}  // namespace

std::vector<i64> apply_groups(const OptimizerConfig& config, nn::Module& module) {
  std::vector<i64> counts(config.groups.size());
  std::vector<bool> deciding;
  for (const auto& [name, parameter] : nn::named_parameters(module)) {
    if (settings_of(config, name, deciding).frozen) parameter->set_requires_grad(false);
    for (size_t g = 0; g < counts.size(); ++g) counts[g] += deciding[g] ? parameter->value().numel() : 0;
  }
  const std::vector<ParameterGroup> defaults = OptimizerConfig().groups;
  for (size_t g = 0; g < counts.size(); ++g)
    TESSERA_CHECK(
        counts[g] > 0 || std::ranges::find(defaults, config.groups[g]) != defaults.end(),
        "optimizer.groups[{}] (match = [{}]) decides nothing: no parameter's name matches (they are like {}), "
        "it has no setting, or the groups before it give the same ones",
        g, fmt::join(config.groups[g].match, ", "), nn::named_parameters(module).front().first);
  return counts;
}

Optimizer::Optimizer(const OptimizerConfig& config, nn::Module& module) : config_(config) {
  apply_groups(config, module);
  std::vector<bool> deciding;
  for (const auto& [name, parameter] : nn::named_parameters(module)) {
    if (!parameter->requires_grad()) continue;
    const ParameterSettings settings = settings_of(config, name, deciding);
    const Tensor& value = parameter->value();
    const auto moment = [&] { return Tensor::zeros(value.shape(), value.dtype(), value.device()); };
    slots_.push_back({name, parameter, settings.lr, settings.weight_decay, moment(),
                      config.kind == OptimizerKind::kAdamW ? moment() : Tensor()});
  }
  TESSERA_CHECK(!slots_.empty(), "optimizer: no parameter requires a gradient, there is nothing to train");
  steps_ = Tensor::zeros({static_cast<i64>(slots_.size())}, DType::kI64);
}

ops::GradientScale Optimizer::clip(const Tensor& watched) const {
  std::vector<Tensor> gradients;
  for (const Slot& slot : slots_)
    if (slot.moves()) gradients.push_back(slot.parameter->grad());
  const Tensor sum = gradients.empty() ? Tensor::zeros({1}, DType::kF64, slots_[0].parameter->value().device())
                                       : ops::sum_of_squares(gradients);
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
    if (communicator_ && slot.owner != communicator_->rank()) continue;
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
  if (communicator_) exchange_parameters();
}

void Optimizer::shard(Communicator& communicator) {
  if (communicator.size() == 1) return;
  communicator_ = &communicator;
  // Each next parameter goes to the rank that has least.
  std::vector<i64> numbers(static_cast<size_t>(communicator.size()));
  for (Slot& slot : slots_) {
    const auto least = std::ranges::min_element(numbers);
    *least += slot.parameter->value().numel();
    slot.owner = least - numbers.begin();
  }
  drop_others();
}

void Optimizer::drop_others() {
  if (!communicator_) return;
  for (Slot& slot : slots_)
    if (slot.owner != communicator_->rank()) slot.m = slot.v = Tensor();
}

void Optimizer::collect() {
  if (!communicator_) return;
  for (Slot& slot : slots_) {
    const bool mine = slot.owner == communicator_->rank();
    for (Tensor* moment : {&slot.m, &slot.v}) {
      if (moment == &slot.v && config_.kind != OptimizerKind::kAdamW) continue;
      const Tensor& value = slot.parameter->value();
      const Tensor host = mine ? moment->to_host() : Tensor::empty(value.shape(), value.dtype());
      communicator_->broadcast({&host, 1}, slot.owner);
      if (!mine && communicator_->first()) *moment = host;
    }
  }
}

// The parameters of each rank travel as one tensor.
void Optimizer::exchange_parameters() {
  for (i64 owner = 0; owner < communicator_->size(); ++owner) {
    std::vector<Tensor> parts;
    for (const Slot& slot : slots_)
      if (slot.owner == owner && slot.moves())
        parts.push_back(slot.parameter->value().reshape({slot.parameter->value().numel()}));
    if (parts.empty()) continue;
    const Tensor all = ops::concat(parts, 0);
    communicator_->broadcast({&all, 1}, owner);
    if (owner == communicator_->rank()) continue;
    i64 begin = 0;
    for (Tensor& part : parts) {  // the parameters' own memory
      part.copy_from(all.rows(begin, begin + part.numel()));
      begin += part.numel();
    }
  }
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
    if (slot.m) state.push_back({"m." + slot.name, slot.m});
    if (slot.v) state.push_back({"v." + slot.name, slot.v});
  }
  return state;
}

}  // namespace tessera
