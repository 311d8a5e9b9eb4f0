#include "train/ema.h"

#include <algorithm>

#include "ops/optimizer.h"

namespace tessera {

Ema::Ema(nn::Module& module, double decay) : decay_(decay) {
  for (const nn::StateEntry& entry : nn::state(module)) {
    if (!is_compute_float(entry.tensor.dtype())) continue;
    averages_.push_back({entry.name, entry.tensor.clone()});
    weights_.push_back(entry.tensor);
  }
}

void Ema::update(i64 step, const Tensor& scale) {
  const double s = static_cast<double>(step);
  const double decay = std::min(decay_, (1 + s) / (10 + s));
  std::vector<ops::LerpUpdate> updates;
  for (size_t i = 0; i < weights_.size(); ++i) updates.push_back({averages_[i].tensor, weights_[i]});
  ops::lerp_into(updates, 1 - decay, scale);
}

void Ema::swap() {
  // The contents change places, not the handles: whoever holds a weight sees the average.
  for (size_t i = 0; i < weights_.size(); ++i) {
    const Tensor weights = weights_[i].clone();
    weights_[i].copy_from(averages_[i].tensor);
    averages_[i].tensor.copy_from(weights);
  }
}

std::vector<NamedTensor> Ema::state() const {
  return averages_;
}

}  // namespace tessera
