// DarkNet-53 (Redmon and Farhadi 2018) and CSPDarkNet-53 (Wang et al. 2020, Bochkovskiy et al. 2020) without their
// classifiers, as SparseInst's authors train with them.
//
//   unit    convolution without bias -> batch normalisation -> LeakyReLU of slope 0.01
//   block   y = x + unit 3x3 (unit 1x1 (x)), half as wide in between
//   stage   unit 3x3 of stride 2, then blocks. CSP: a unit 1x1 in between; half of its channels skip the blocks, the
//           others get a unit 1x1 after them, and one more unit 1x1 sees both
//
//   row   1    2     3     4     5       stages
//   out   64   128   256   512   1024    channels
//   by    2    4     8     16    32      stride
//
// Parameter names are those of the authors' code, and of timm's cspdarknet53 ("stem.conv1.conv",
// "stages.0.blocks.0.conv1.bn").
#pragma once

#include <optional>
#include <vector>

#include "models/backbones/backbone.h"

namespace tessera {

// Called <name>.conv and <name>.bn.
class DarkUnit : public nn::ConvNorm {
 public:
  DarkUnit(const std::string& name, nn::ConvNormConfig config, Random& random);
  Var operator()(const Var& x);
};

class DarkBlock : public nn::Module {
 public:
  DarkBlock(i64 channels, i64 inner, nn::Norm norm, Random& random);  // begins as the identity
  Var operator()(const Var& x);
  void visit(nn::Visitor& v) override;

 private:
  DarkUnit first_, second_;
};

class DarkStage : public nn::Module {
 public:
  struct Plan {
    i64 in, out, blocks;
    bool partial;         // CSP
    i64 expanded, inner;  // channels of the unit that is split, and inside the blocks
  };
  DarkStage(const Plan& plan, nn::Norm norm, Random& random);
  Var operator()(const Var& x);
  void visit(nn::Visitor& v) override;

 private:
  DarkUnit down_;
  std::optional<DarkUnit> expand_, after_blocks_, both_;
  std::vector<DarkBlock> blocks_;
};

class DarkNet : public Backbone {
 public:
  DarkNet(const BackboneConfig& config, Random& random, std::vector<i64> rows = {});
  void visit(nn::Visitor& v) override;

 private:
  std::vector<Var> forward(const Var& images, std::span<Random> random) override;

  DarkUnit stem_;
  std::vector<DarkStage> stages_;
};

}  // namespace tessera
