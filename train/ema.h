// Exponential moving average of the weights, which evaluates better than the last iterate (Polyak & Juditsky, 1992).
#pragma once

#include <vector>

#include "nn/module.h"

namespace tessera {

class Ema {
 public:
  // Starts from the module's present state: parameters and floating-point buffers. The module must outlive this.
  Ema(nn::Module& module, double decay);

  // average += (1 - d) (weights - average) with d = min(decay, (1 + step) / (10 + step)), so that a short run forgets
  // its initial weights. `step` counts the updates done. With a scale of NaN, that of an update which was refused,
  // nothing is changed.
  void update(i64 step, const Tensor& scale = {});

  // Exchanges average and weights; called in pairs around an evaluation (AveragedWeights).
  void swap();

  std::vector<NamedTensor> state() const;  // the averages under the module's names

 private:
  double decay_;
  std::vector<NamedTensor> averages_;
  std::vector<Tensor> weights_;  // the module's memory
};

// While one lives, the module has the averaged weights; also where an evaluation ends with an error. Null: as they are.
class AveragedWeights {
 public:
  explicit AveragedWeights(Ema* ema) : ema_(ema) {
    if (ema_) ema_->swap();
  }
  ~AveragedWeights() {
    if (ema_) ema_->swap();
  }
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  Ema* ema_;
};

}  // namespace tessera
