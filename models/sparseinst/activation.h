// Instance activation maps (SparseInst, section 3.3, equations 1 and 2): a map per instance over the pixels, and the
// pooling of the features under it into the instance's vector. Cross attention is the paper's alternative (Table 7).
//
// N image, H x W map at stride 8, C width, Q instance, G group, D instance vector
#pragma once

#include "models/sparseinst/config.h"

namespace tessera::sparseinst {

// A child without a name: the reference lists its parts among those of the instance branch.
class InstanceActivation : public nn::Module {
 public:
  InstanceActivation(i64 width, i64 num_masks, const IamConfig& config, Random& random);

  struct Result {
    Var maps;     // [N, H, W, G Q], logits
    Var vectors;  // [N, Q, D]
  };
  Result operator()(const Var& features) const;                // [N, H, W, C]
  i64 vector_size() const { return config_.groups * width_; }  // D
  void visit(nn::Visitor& v) override;

 private:
  i64 width_ = 0, num_masks_ = 0;
  IamConfig config_;
  Var softmax_bias_;  // [1], softmax only; the same for all pixels and so without effect, but the reference has it
  nn::Conv2d conv_;
  std::optional<nn::Conv2d> hidden_conv_;  // iam.kernel = "3x3-3x3"
  std::optional<nn::Linear> fc_;
};

// Q learned queries look at all pixels with 4 heads: softmax(q k^T / sqrt(C / 4)) v, then a linear layer.
class CrossAttention : public nn::Module {
 public:
  CrossAttention(i64 width, i64 num_masks, Random& random);
  Var operator()(const Var& features) const;  // [N, H, W, C] -> [N, Q, C]
  void visit(nn::Visitor& v) override;

 private:
  Var queries_;  // [Q, C]
  nn::Linear query_, key_, value_, output_;
};

}  // namespace tessera::sparseinst
