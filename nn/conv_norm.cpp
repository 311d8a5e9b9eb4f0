#include "nn/conv_norm.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"
#include "ops/batch_norm.h"

namespace tessera::nn {

ConvNorm::ConvNorm(const ConvNormConfig& c, Random& random) {
  Conv2dConfig conv{.in = c.in, .out = c.out, .kernel = c.kernel, .stride = c.stride};
  conv.padding = c.padding.value_or(c.kernel / 2);
  conv.groups = c.groups;
  conv.bias = false;
  conv.init = Init::kC2Msra;
  conv.activation = c.relu ? ops::Activation::kRelu : ops::Activation::kNone;
  conv_ = Conv2d(conv, random);
  if (c.deform != Deform::kNone) offset_ = OffsetConv(conv, c.deform, random);
  if (c.norm == Norm::kBatch) norm = BatchNorm2d(c.out);
  if (c.norm == Norm::kFrozenBatch) norm = FrozenBatchNorm(c.out);
}

Var ConvNorm::operator()(const Var& x, Taps* taps) {
  const Running running(conv_);
  const Conv2dConfig& c = conv_.config();
  BatchNorm2d* live = std::get_if<BatchNorm2d>(&norm);
  if (live && !live->training()) live = nullptr;

  Var weight = conv_.weight, shift;
  if (!live) {
    const Affine affine = std::visit([](const auto& n) { return n.affine(); }, norm);
    weight = weight * reshape(affine.scale, {c.out, 1, 1, 1});
    shift = affine.shift;
  }
  const bool fused = !live && !offset_.weight;  // the ReLU in the convolution's pass
  Var y;
  if (offset_.weight) {
    const auto [offset, mask] = offset_(x, taps);
    y = deform_conv2d(x, offset, mask, weight, shift, {c.stride, c.padding, c.dilation, c.groups, 1});
  } else {
    y = conv2d(x, weight, shift,
               {c.stride, c.padding, c.dilation, c.groups, fused ? c.activation : ops::Activation::kNone});
  }
  if (live) {
    y = (*live)(y);
  } else {
    note_work("batch_norm", ops::batch_norm_work(y.value(), false), y.shape());
  }
  return c.activation == ops::Activation::kRelu && !fused ? relu(y) : y;
}

void ConvNorm::visit(Visitor& v, const std::string& conv_name, const std::string& norm_name) {
  v.child(conv_name + "_offset", offset_);
  v.child(conv_name, conv_);
  std::visit([&](Module& n) { v.child(norm_name, n); }, norm);
}

void ConvNorm::freeze() {
  for (Var* var : {&conv_.weight, &offset_.weight, &offset_.bias})
    if (*var) var->set_requires_grad(false);
}

}  // namespace tessera::nn
