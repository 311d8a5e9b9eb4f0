// The instance attention module (IAM) of FASSST: convolutions that turn raw features of the whole frame into one
// prediction per cell of a grid.
//
//   E [B, h, w, C] -> 3x3, batch normalisation, ReLU; some at stride 2 so that the maps come to stride 32
//                  -> fitted to the grid: 3x3 and larger, normalisation, ReLU
//                  -> 3x3, normalisation, ReLU -> 1x1: y, x, h, w, objectness and K classes of every cell
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/image.h"
#include "models/fassst/config.h"
#include "nn/conv_norm.h"

namespace tessera::fassst {

// One axis of the convolution that takes `side` cells to `grid`: of three cells where grid = side (stride 1, padding
// 1) or side = 2 grid - 1 (stride 2, padding 1), else at stride floor(side / grid) without padding. Nothing where its
// kernel would have more than 6 cells, and for a grid larger than the map: then the map is resampled to the grid first.
struct FittedAxis {
  i64 kernel, stride, padding;
};
std::optional<FittedAxis> fit_axis(i64 side, i64 grid);

struct AttentionPlan {
  i64 in;                    // channels of E
  std::vector<i64> strides;  // of the layers before the fitted one
  ImageSize side, grid;      // of the map in front of the fitted layer, and of the cells
};

// From E, with those channels at that stride of the input. The layer that stands ((n - 3) / 2 + 1)-th of n has stride
// 2 on the way from 16 to 32, unless the grid is finer than the map at stride 32; the first two go on the way to 16.
AttentionPlan plan_attention(const AttentionConfig& config, FeatureLevel e, ImageSize input);

// The convolution that fits a map to the grid, without bias, its normalisation and ReLU. Kernel, stride and padding may
// differ between the axes: it gathers the cells under each kernel, and multiplies. A map of another size than the one
// that it is built for, of an input that is not model.input, is resampled to that first.
class FittedConv : public nn::Module {
 public:
  FittedConv(i64 in, i64 out, ImageSize side, ImageSize grid, Random& random);
  Var operator()(Var x);
  void visit(nn::Visitor& v) override;
  Var weight;  // [out, kh, kw, in]
  nn::BatchNorm2d norm;

 private:
  Tensor rows_under_kernels(i64 batch, Device device);  // of a list of cells, the last of which is 0 for the padding

  ImageSize side_, grid_;  // side_: of the grid where no kernel fits
  FittedAxis rows_, columns_;
  Tensor gathered_;  // of the last batch
};

class InstanceAttention : public nn::Module {
 public:
  InstanceAttention(const AttentionConfig& config, const AttentionPlan& plan, i64 classes, Random& random);
  Var operator()(Var x);  // -> f32 [B, gh, gw, 5 + K]
  void visit(nn::Visitor& v) override;
  std::string fitted_name() const { return std::to_string(convs_.size() + 1); }
  std::string last_name() const { return std::to_string(convs_.size() + 3); }

 private:
  std::vector<nn::ConvNorm> convs_;
  std::optional<FittedConv> fitted_;
  nn::ConvNorm after_;
  nn::Conv2d last_;
};

}  // namespace tessera::fassst
