#include "models/fassst/attention.h"

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/profile.h"
#include "ops/arrange.h"

namespace tessera::fassst {

namespace {

constexpr i64 kLargestKernel = 6;
constexpr double kLastStd = 0.01, kObjectPrior = 0.1, kClassPrior = 0.01;

nn::ConvNormConfig layer(size_t number, i64 in, i64 out, i64 stride) {
  return {.conv_name = fmt::format("{}.conv", number),
          .norm_name = fmt::format("{}.bn", number),
          .in = in,
          .out = out,
          .kernel = 3,
          .stride = stride,
          .norm = nn::Norm::kBatch};
}

}  // namespace

std::optional<FittedAxis> fit_axis(i64 side, i64 grid) {
  if (grid == side) return FittedAxis{3, 1, 1};
  if (side == 2 * grid - 1) return FittedAxis{3, 2, 1};
  if (grid > side) return {};
  const i64 stride = side / grid, kernel = side - (grid - 1) * stride;
  if (kernel > kLargestKernel) return {};
  return FittedAxis{kernel, stride, 0};
}

AttentionPlan plan_attention(const AttentionConfig& config, FeatureLevel e, ImageSize input) {
  const i64 before = std::ssize(config.widths) - 2;
  TESSERA_CHECK(before >= 3, "fassst: attention.widths needs 5 channels or more, got {}", config.widths.size());
  const ImageSize grid{config.grid[0], config.grid[1]};
  const bool fine = grid.height > input.height / 32 || grid.width > input.width / 32;
  AttentionPlan plan{e.channels, std::vector<i64>(static_cast<size_t>(before), 1), {}, grid};
  i64 stride = e.stride;
  for (size_t i = 0; stride < 16; ++i, stride *= 2) plan.strides[i] = 2;
  i64& last = plan.strides[static_cast<size_t>(before / 2)];
  if (stride == 16 && !fine) {
    last *= 2;
    stride *= 2;
  }
  plan.side = {input.height / stride, input.width / stride};
  return plan;
}

FittedConv::FittedConv(i64 in, i64 out, ImageSize side, ImageSize grid, Random& random)
    : norm(out), side_(side), grid_(grid) {
  const std::optional<FittedAxis> rows = fit_axis(side.height, grid.height), columns = fit_axis(side.width, grid.width);
  if (!rows || !columns) side_ = grid;
  rows_ = *fit_axis(side_.height, grid.height);
  columns_ = *fit_axis(side_.width, grid.width);
  weight = Var(Tensor::empty({out, rows_.kernel, columns_.kernel, in}), true);
  nn::init_kaiming_normal(weight, nn::Fan::kOut, std::sqrt(2.0), random);
}

Tensor FittedConv::rows_under_kernels(i64 batch, Device device) {
  const i64 kh = rows_.kernel, kw = columns_.kernel, H = side_.height, W = side_.width;
  const i64 count = batch * grid_.height * grid_.width * kh * kw;
  if (gathered_.defined() && gathered_.numel() == count && gathered_.device() == device) return gathered_;
  std::vector<i64> rows;
  rows.reserve(static_cast<size_t>(count));
  for (i64 cell = 0; cell < batch * grid_.height * grid_.width; ++cell) {
    const i64 b = cell / (grid_.height * grid_.width), i = cell / grid_.width % grid_.height, j = cell % grid_.width;
    for (i64 k = 0; k < kh * kw; ++k) {
      const i64 y = i * rows_.stride - rows_.padding + k / kw, x = j * columns_.stride - columns_.padding + k % kw;
      const bool inside = y >= 0 && y < H && x >= 0 && x < W;
      rows.push_back(inside ? (b * H + y) * W + x : batch * H * W);
    }
  }
  return gathered_ = Tensor::from(rows).to(device);
}

Var FittedConv::operator()(Var x) {  // [B, h, w, C]
  const nn::Running running(*this);
  if (ImageSize{x.dim(1), x.dim(2)} != side_)
    x = interpolate(x, side_.height, side_.width, ops::Interpolation::kBilinear);
  const i64 B = x.dim(0), C = x.dim(3), O = weight.dim(0), kernel = rows_.kernel * columns_.kernel;
  const Device device = x.value().device();
  const Var zero(Tensor::zeros({1, C}, x.value().dtype(), device));
  const Var cells = concat({reshape(x, {B * side_.height * side_.width, C}), zero}, 0);
  const Var patches =
      reshape(gather_rows(cells, rows_under_kernels(B, device)), {B, grid_.height, grid_.width, kernel * C});
  const Var y = linear(patches, reshape(nn::for_input(weight, x), {O, kernel * C}), Var());  // [B, gh, gw, O]
  return relu(norm(y));
}

void FittedConv::visit(nn::Visitor& v) {
  v.parameter("conv.weight", weight, nn::Layout::kConvOIHW);
  v.child("bn", norm);
}

InstanceAttention::InstanceAttention(const AttentionConfig& config, const AttentionPlan& plan, i64 classes,
                                     Random& random) {
  i64 in = plan.in;
  for (size_t i = 0; i < plan.strides.size(); ++i) {
    convs_.emplace_back(layer(i + 1, in, config.widths[i], plan.strides[i]), random);
    in = config.widths[i];
  }
  const size_t fitted = config.widths.size() - 2;
  fitted_.emplace(in, config.widths[fitted], plan.side, plan.grid, random);
  after_ = nn::ConvNorm(layer(fitted + 2, config.widths[fitted], config.widths[fitted + 1], 1), random);
  last_ = nn::Conv2d({.in = config.widths.back(), .out = 5 + classes}, random);
  nn::init_normal(last_.weight, kLastStd, random);
  float* bias = last_.bias.value().data<float>();
  for (i64 k = 0; k < 5 + classes; ++k)
    bias[k] = static_cast<float>(k >= 5   ? nn::prior_bias(kClassPrior)
                                 : k == 4 ? nn::prior_bias(kObjectPrior)
                                 : k >= 2 ? config.log_side[static_cast<size_t>(k - 2)]
                                          : 0);
}

Var InstanceAttention::operator()(Var x) {
  const nn::Running running(*this);
  for (nn::ConvNorm& conv : convs_) x = conv(x);
  return cast(last_(after_((*fitted_)(x))), DType::kF32);
}

void InstanceAttention::visit(nn::Visitor& v) {
  for (nn::ConvNorm& conv : convs_) v.child("", conv);
  v.child(fitted_name(), fitted_);
  v.child("", after_);
  v.child(last_name(), last_);
}

}  // namespace tessera::fassst
