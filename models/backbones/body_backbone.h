// A backbone as the weights of FQDet and EffSeg hold it: the network under "body", and beside it mean and standard
// deviation of its pixels, in_norm_mean and in_norm_std, for values in [0, 1]. They are kept for the tools that read
// them; images come here normalised with the statistics of their batch.
#pragma once

#include "models/backbones/backbone.h"

namespace tessera {

class BodyBackbone : public nn::Module {
 public:
  BodyBackbone(const BackboneConfig& config, Random& random, const std::vector<i64>& rows);
  std::vector<Var> operator()(const Var& images) { return (*body_)(images); }
  const std::vector<FeatureLevel>& levels() const { return body_->levels(); }
  void visit(nn::Visitor& v) override;

 private:
  std::unique_ptr<Backbone> body_;
  Tensor in_norm_mean_, in_norm_std_;  // [3], ImageNet's
};

}  // namespace tessera
