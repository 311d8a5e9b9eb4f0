#include "nn/conv_norm.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"
#include "nn/working_weights.h"
#include "ops/batch_norm.h"

namespace tessera::nn {

ConvNorm::ConvNorm(const ConvNormConfig& c, Random& random)
    : conv_name_(c.conv_name),
      norm_name_(c.norm_name),
      frozen_statistics_(c.norm == Norm::kFrozenStatistics),
      counted_norm_(c.counted_norm) {
  Conv2dConfig conv{.in = c.in, .out = c.out, .kernel = c.kernel, .stride = c.stride};
  conv.padding = c.padding.value_or(c.kernel / 2);
  conv.groups = c.groups;
  conv.bias = false;
  conv.init = Init::kC2Msra;
  conv.activation = c.activation;
  conv_ = Conv2d(conv, random);
  if (c.deform != Deform::kNone) offset_.emplace(conv, c.deform, random);
  if (c.norm == Norm::kFrozenBatch)
    norm = FrozenBatchNorm(c.out);
  else
    norm = BatchNorm2d(c.out);
}

ConvNorm::Folded ConvNorm::folded(DType dtype) const {
  if (const auto* frozen = std::get_if<FrozenBatchNorm>(&norm)) {
    const Affine& affine = frozen->affine();
    return {working_weight(conv_.weight, affine.scale.value(), dtype), working_weight(affine.shift, {}, dtype)};
  }
  const Affine affine = std::get<BatchNorm2d>(norm).affine();
  const Var weight = conv_.weight * reshape(affine.scale, {conv_.config().out, 1, 1, 1});
  return {working_weight(weight, {}, dtype), working_weight(affine.shift, {}, dtype)};
}

Var ConvNorm::operator()(const Var& x, const Var& residual) {
  const Running running(conv_);
  const ops::Activation activation = conv_.config().activation;
  BatchNorm2d* live = std::get_if<BatchNorm2d>(&norm);
  if (live && (frozen_statistics_ || !live->training())) live = nullptr;

  Var y;
  bool finished = false;  // residual and activation in the convolution's pass
  if (packed_) {
    check_fused(x, conv_.weight);
    if (residual) check_fused(residual, conv_.weight);
    y = Var(ops::conv2d_packed(x.value(), *packed_, residual.value()));
    finished = true;
  } else {
    const auto [weight, shift] =
        live ? Folded{for_input(conv_.weight, x), Var()} : folded(working_dtype(conv_.weight, x));
    ops::Conv2dParams params = conv_.params();
    if (offset_) {
      const auto [offset, mask] = (*offset_)(x);
      y = deform_conv2d(x, offset, mask, weight, shift,
                        {params.stride, params.padding, params.dilation, params.groups, 1});
    } else {
      finished = !live && !residual;
      if (!finished) params.activation = ops::Activation::kNone;
      y = conv2d(x, weight, shift, params);
    }
  }
  if (live) {
    y = (*live)(y);
  } else if (counted_norm_) {
    note_work("batch_norm", ops::batch_norm_work(y.value(), false), y.shape());
  }
  if (finished) return y;
  if (residual && activation == ops::Activation::kRelu) return add_relu(y, residual);
  return activate(residual ? y + residual : y, activation);
}

// A deformable convolution has no packed form: its offsets' convolution is fused by itself.
void ConvNorm::fuse(const InferenceOptions& options) {
  if (offset_) return offset_->fuse(options);
  const auto [weight, shift] = folded(working_dtype(conv_.weight, options.dtype));
  packed_ = ops::conv2d_pack(weight.value(), shift.value(), conv_.params(), options.winograd);
}

void ConvNorm::unfuse() {
  packed_.reset();
  Module::unfuse();
}

const ops::PackedConv2d* ConvNorm::packed(const Var& x) const {
  if (!packed_) return nullptr;
  check_fused(x, conv_.weight);
  return &*packed_;
}

void ConvNorm::visit(Visitor& v) {
  v.child(conv_name_ + "_offset", offset_);
  v.child(conv_name_, conv_);
  std::visit([&](Module& n) { v.child(norm_name_, n); }, norm);
}

}  // namespace tessera::nn
