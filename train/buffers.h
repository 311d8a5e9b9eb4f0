// The buffers of a model, running statistics for example: forward passes change them before it is known whether the
// step counts.
#pragma once

#include <utility>
#include <vector>

#include "nn/module.h"

namespace tessera {

class Buffers {
 public:
  explicit Buffers(nn::Module& model) {
    for (const nn::StateEntry& entry : nn::state(model))
      if (!entry.parameter) kept_.push_back({entry.tensor, entry.tensor.clone()});
  }
  void keep() {
    for (auto& [buffer, copy] : kept_) copy.copy_from(buffer);
  }
  void put_back() {
    for (auto& [buffer, copy] : kept_) buffer.copy_from(copy);
  }
  std::vector<Tensor> tensors() const {
    std::vector<Tensor> tensors;
    for (const auto& [buffer, copy] : kept_) tensors.push_back(buffer);
    return tensors;
  }

 private:
  std::vector<std::pair<Tensor, Tensor>> kept_;
};

}  // namespace tessera
