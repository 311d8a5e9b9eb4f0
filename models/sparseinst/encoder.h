// The instance context encoder (SparseInst, section 3.2): pyramid pooling for a large receptive field, top-down paths,
// and the fusion of all levels at stride 8.
#pragma once

#include <vector>

#include "models/sparseinst/config.h"

namespace tessera::sparseinst {

// Pyramid pooling (Zhao et al. 2017): the map beside its means over 1, 2x2, 3x3 and 6x6 regions.
class PyramidPooling : public nn::Module {
 public:
  PyramidPooling(i64 channels, Random& random);
  Var operator()(const Var& x) const;  // [N, h, w, C] -> [N, h, w, C]
  void visit(nn::Visitor& v) override;

 private:
  std::vector<nn::Conv2d> stages_;
  nn::Conv2d bottleneck_;
};

class InstanceContextEncoder : public nn::Module {
 public:
  InstanceContextEncoder(const EncoderConfig& config, const std::vector<FeatureLevel>& inputs, Random& random);

  // Three levels from stride 8 to stride 32 -> [N, H, W, C] at stride 8. Intermediates: ppm, p5, p4, p3, encoder.
  Var operator()(const std::vector<Var>& levels) const;
  void visit(nn::Visitor& v) override;

 private:
  EncoderConfig config_;
  // From the coarsest level to the finest. Without fusion nobody reads P5 and P4, and they have no output.
  std::vector<nn::Conv2d> laterals_;
  std::vector<std::optional<nn::Conv2d>> outputs_;
  std::optional<PyramidPooling> ppm_;
  std::optional<nn::Conv2d> fusion_;
};

}  // namespace tessera::sparseinst
