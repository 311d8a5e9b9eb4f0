// The processing modules of EffSeg: what a stage does with its active features.
//                                                Picron and Tuytelaars, EffSeg, sections 3.3 and 4.3; names as its code
#pragma once

#include <array>
#include <memory>

#include "autograd/sps.h"
#include "nn/layers.h"

namespace tessera::effseg {

enum class Processing { kSfm, kConv, kDeformConv, kMlp, kDenseSfm };
constexpr auto names_of(Processing) {
  return std::array{std::pair{"sfm", Processing::kSfm}, std::pair{"conv", Processing::kConv},
                    std::pair{"deform_conv", Processing::kDeformConv}, std::pair{"mlp", Processing::kMlp},
                    std::pair{"dense_sfm", Processing::kDenseSfm}};
}

// Index convolution layer, initialised as a convolution: weight [out, 9 in], columns by kernel position; bias [out]
class SpsConv2d : public nn::Module {
 public:
  SpsConv2d() = default;
  SpsConv2d(i64 in, i64 out, i64 dilation, ops::Activation activation, Random& random);
  Var operator()(const Sps& sps) const;
  Var on_map(const Var& map) const;  // the same as an ordinary convolution: [R, S, S, in] -> [R, S, S, out]
  void visit(nn::Visitor& v) override;
  Var weight, bias;

 private:
  i64 dilation_ = 1;
  ops::Activation activation_ = ops::Activation::kNone;
};

// Its deformable twin. The offsets, with the kernel's own grid in them, come from a linear layer on each active feature
// that begins as the regular grid.
class SpsDeformConv2d : public nn::Module {
 public:
  SpsDeformConv2d() = default;
  SpsDeformConv2d(i64 in, i64 out, i64 dilation, Random& random);
  Var operator()(const Sps& sps) const;
  void visit(nn::Visitor& v) override;
  nn::Linear conv_offsets;
  Var weight, bias;
};

// A processing module: features of width F to new active features [N_A, F]. The passive ones are only read.
class ProcessingModule : public nn::Module {
 public:
  virtual Var operator()(const Sps& sps) const = 0;
};
std::unique_ptr<ProcessingModule> make_processing(Processing kind, i64 width, Random& random);

}  // namespace tessera::effseg
