#include "models/backbones/body_backbone.h"

namespace tessera {

BodyBackbone::BodyBackbone(const BackboneConfig& config, Random& random, const std::vector<i64>& rows)
    : body_(make_backbone(config, random, rows)),
      in_norm_mean_(Tensor::from(std::vector<float>{0.485F, 0.456F, 0.406F})),
      in_norm_std_(Tensor::from(std::vector<float>{0.229F, 0.224F, 0.225F})) {}

void BodyBackbone::visit(nn::Visitor& v) {
  v.buffer("in_norm_mean", in_norm_mean_);
  v.buffer("in_norm_std", in_norm_std_);
  v.child("body", *body_);
}

}  // namespace tessera
