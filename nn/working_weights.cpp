#include "nn/working_weights.h"

#include <algorithm>
#include <vector>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "ops/scale_rows.h"

namespace tessera::nn {

namespace {

constinit thread_local WorkingWeights* active = nullptr;

void check_none_active() {
  TESSERA_CHECK(!active, "WorkingWeights: another pass has not ended on this thread");
}

}  // namespace

WorkingWeights::Final::Final(WorkingWeights& weights) {
  check_none_active();
  active = &weights;
}

WorkingWeights::Final::~Final() {
  active = nullptr;
}

WorkingWeights::Pass::Pass(WorkingWeights& weights) : weights_(weights) {
  check_none_active();
  std::vector<ops::ScaledRows> list;
  for (auto& [key, entry] : weights_.entries_) {
    Tensor& value = entry.working.value();
    if (!value.unique()) value = Tensor::empty(value.shape(), value.dtype(), value.device());
    list.push_back({value, entry.parameter.value(), entry.scale});
    entry.asked = false;
  }
  ops::scale_rows(list);
  active = &weights_;
}

WorkingWeights::Pass::~Pass() {
  active = nullptr;
  std::erase_if(weights_.entries_, [](const auto& item) { return !item.second.asked; });
  for (auto& [key, entry] : weights_.entries_) entry.working.zero_grad();  // of a pass that failed
}

template <class Chosen>
void WorkingWeights::give_gradients(const Chosen& chosen) {
  std::vector<ops::ScaledRows> list;
  for (auto& [key, entry] : entries_) {
    if (!entry.working.requires_grad() || !entry.working.grad() || !chosen(entry)) continue;
    Tensor& gradient = entry.parameter.grad();
    const Tensor& value = entry.parameter.value();
    const bool first = !gradient.defined();
    if (first) gradient = Tensor::empty(value.shape(), value.dtype(), value.device());
    list.push_back({gradient, entry.working.grad(), entry.scale, !first});
    entry.working.zero_grad();
  }
  ops::scale_rows(list);
}

void WorkingWeights::Pass::finish() {
  weights_.give_gradients([](const Entry&) { return true; });
}

const void* WorkingWeights::Pass::parameter_of(const void* leaf) const {
  for (const auto& [key, entry] : weights_.entries_)
    if (entry.working.identity() == leaf) return entry.parameter.identity();
  return leaf;
}

void WorkingWeights::Pass::finish(std::span<const void* const> leaves) {
  weights_.give_gradients(
      [&](const Entry& entry) { return std::ranges::find(leaves, entry.working.identity()) != leaves.end(); });
}

const Var& WorkingWeights::get(const Var& parameter, const Tensor& scale, DType dtype) {
  const auto [place, made] = entries_.try_emplace({parameter.value().raw(), dtype});
  Entry& entry = place->second;
  const bool same_scale = entry.scale.defined() == scale.defined() && (!scale || entry.scale.same_memory(scale));
  if (made || !entry.parameter.is(parameter) || !same_scale) {
    const Tensor& value = parameter.value();
    entry = {parameter, scale, Var(Tensor::empty(value.shape(), dtype, value.device()), parameter.requires_grad())};
    ops::ScaledRows rows{entry.working.value(), value, scale};
    ops::scale_rows({&rows, 1});
  }
  entry.asked = true;
  return entry.working;
}

Var working_weight(const Var& parameter, const Tensor& scale, DType dtype) {
  if (!parameter || (!scale && parameter.value().dtype() == dtype)) return parameter;
  // Without gradients what was computed of a parameter looks like one, but comes and goes.
  if (active && parameter.is_leaf() && (parameter.requires_grad() || !NoGrad::active()))
    return active->get(parameter, scale, dtype);
  if (!scale) return cast(parameter, dtype);
  std::vector<i64> column(static_cast<size_t>(parameter.rank()), 1);
  column[0] = scale.dim(0);
  const Var scaled = parameter * Var(scale.reshape(Shape(column)));
  return dtype == scaled.value().dtype() ? scaled : cast(scaled, dtype);
}

}  // namespace tessera::nn
