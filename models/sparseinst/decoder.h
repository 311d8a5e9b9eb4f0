// The IAM-based decoder (SparseInst, section 3.3): two stacks of convolutions over the encoder's features. The instance
// branch activates, for each of Q instances, the pixels that tell about it and pools them into one vector; the mask
// branch gives features whose product with the kernel of an instance is its mask.
//
// N image, H x W map at stride 8, C width, Q instance, G group, D instance vector, K class, M mask feature
#pragma once

#include "models/sparseinst/activation.h"

namespace tessera::sparseinst {

// depth x (3x3 convolution, ReLU)
class ConvStack : public nn::Module {
 public:
  ConvStack(i64 in, const DecoderConfig& config, Random& random);
  Var operator()(Var x) const;  // [N, H, W, in] -> [N, H, W, C]
  void visit(nn::Visitor& v) override;

 private:
  std::vector<nn::Conv2d> convs_;
  std::optional<nn::OffsetConv> last_offset_;  // Table 3, "dconv"
  std::optional<nn::DeformConv2d> last_;
};

class InstanceBranch : public nn::Module {
 public:
  InstanceBranch(i64 in, const Config& config, Random& random);

  struct Result {
    Var logits;      // [N, Q, K]
    Var kernels;     // [N, Q, M]
    Var objectness;  // [N, Q, 1]
    Var maps;        // [N, H, W, G Q]
  };
  Result operator()(const Var& features) const;  // [N, H, W, in]
  void visit(nn::Visitor& v) override;

 private:
  ConvStack convs_;
  std::optional<InstanceActivation> activation_;  // one of the two
  std::optional<CrossAttention> attention_;
  nn::Linear cls_score_, mask_kernel_;
  std::optional<nn::Linear> objectness_;
};

class MaskBranch : public nn::Module {
 public:
  MaskBranch(i64 in, const Config& config, Random& random);
  Var operator()(const Var& features) const;  // [N, H, W, in] -> [N, H, W, M]
  void visit(nn::Visitor& v) override;

 private:
  ConvStack convs_;
  nn::Conv2d projection_;
};

// What the network says, all as logits.
struct Output {
  Var logits;      // [N, Q, K]
  Var objectness;  // [N, Q, 1]; undefined where the objectness loss is "none"
  Var masks;       // [N, Q, H', W'], H' = scale_factor H
  Var maps;        // [N, H, W, G Q], the activation maps; undefined with cross attention
};

class Decoder : public nn::Module {
 public:
  Decoder(const Config& config, Random& random);

  // Intermediates: inst_features_map, iam_logits, iam_pooled, inst_vectors, mask_kernel, mask_features, pred_logits,
  // pred_scores, pred_masks.
  Output operator()(const Var& features) const;  // [N, H, W, encoder's channels]
  void visit(nn::Visitor& v) override;

 private:
  bool coords_;
  i64 scale_factor_;
  InstanceBranch instance_branch_;
  MaskBranch mask_branch_;
};

}  // namespace tessera::sparseinst
