// The layer of multi-scale deformable attention (Zhu et al. 2021): each query looks at a few points per head and level,
// which it chooses itself around its reference.
#pragma once

#include <vector>

#include "autograd/ms_deform_attn.h"
#include "nn/layers.h"

namespace tessera::nn {

struct MsDeformAttnConfig {
  i64 channels = 256, heads = 8, levels = 4, points = 4;
  // What weights files call the layer's parts: Deformable DETR's encoders, or FQDet's decoder.
  enum class Names { kDeformableDetr, kFqdet } names = Names::kDeformableDetr;
};

// N images, Q queries, S tokens, C channels, M heads, L levels, K points
class MsDeformAttn : public Module {
 public:
  MsDeformAttn() = default;
  MsDeformAttn(const MsDeformAttnConfig& config, Random& random);

  // query [N, Q, C]; tokens [N, S, C], the levels one after the other; reference [N, Q, L or 1, 2 or 4] in [0, 1]: a
  // point (x, y), around which offsets count in pixels of each level, or a box (x, y, width, height) around its centre,
  // where they count in halves of the box / K. keep [N, S, 1], if defined: 1, or 0 for a token whose value counts as 0,
  // as those of padding do. -> [N, Q, C]
  // Few queries before many tokens, as in a decoder, sample the tokens first and project what they see; the results and
  // the published counts are the same.
  Var operator()(const Var& query, const Var& reference, const Var& tokens, const std::vector<ops::LevelSize>& levels,
                 const Tensor& keep = {}) const;
  void visit(Visitor& v) override;
  Linear sampling_offsets, attention_weights, value_proj, output_proj;

 private:
  Var locations(const Var& offsets, const Var& reference, const std::vector<ops::LevelSize>& levels) const;

  MsDeformAttnConfig config_;
};

}  // namespace tessera::nn
