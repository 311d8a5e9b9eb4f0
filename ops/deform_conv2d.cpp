#include "ops/deform_conv2d.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

DeformConv2dDims check(const char* op, const Tensor& x, const Tensor& offset, const Tensor& mask, const Shape& weight,
                       const DeformConv2dParams& params) {
  check_operand(op, "x", x, x.dtype());
  const DType exact = parameter_dtype(x.dtype());
  const Conv2dParams dense{
      .stride = params.stride, .padding = params.padding, .dilation = params.dilation, .groups = params.groups};
  const DeformConv2dDims dims{conv2d_dims(op, x.shape(), weight, dense), params.offset_groups};
  const Conv2dDims& conv = dims.conv;
  TESSERA_CHECK(params.offset_groups >= 1 && conv.Ci % params.offset_groups == 0,
                "{}: {} channels cannot be split into {} offset groups; x {}", op, conv.Ci, params.offset_groups,
                x.shape());
  check_operand(op, "offset", offset, exact, {conv.N, conv.Ho, conv.Wo, 2 * params.offset_groups * dims.positions()});
  if (mask) check_operand(op, "mask", mask, exact, {conv.N, conv.Ho, conv.Wo, params.offset_groups * dims.positions()});
  return dims;
}

}  // namespace

Tensor deform_conv2d(const Tensor& x, const Tensor& offset, const Tensor& mask, const Tensor& weight,
                     const Tensor& bias, const DeformConv2dParams& params) {
  check_operand("deform_conv2d", "weight", weight, x.dtype());
  const DeformConv2dDims dims = check("deform_conv2d", x, offset, mask, weight.shape(), params);
  if (bias) check_operand("deform_conv2d", "bias", bias, x.dtype(), {dims.conv.Co});
  Tensor y = Tensor::empty(dims.conv.output(), x.dtype(), x.device());
  deform_conv2d_kernels(dims, x, offset, mask, weight, bias, y);
  return y;
}

DeformConv2dGradients deform_conv2d_backward_input(const Tensor& gy, const Tensor& x, const Tensor& offset,
                                                   const Tensor& mask, const Tensor& weight,
                                                   const DeformConv2dParams& params) {
  check_operand("deform_conv2d_backward_input", "weight", weight, x.dtype());
  const DeformConv2dDims dims = check("deform_conv2d_backward_input", x, offset, mask, weight.shape(), params);
  check_operand("deform_conv2d_backward_input", "gy", gy, x.dtype(), dims.conv.output());
  DeformConv2dGradients g{.x = zeros_like(x), .offset = empty_like(offset), .mask = mask ? empty_like(mask) : Tensor()};
  deform_conv2d_backward_input_kernels(dims, gy, x, offset, mask, weight, g.x, g.offset, g.mask);
  return g;
}

Tensor deform_conv2d_backward_weight(const Tensor& gy, const Tensor& x, const Tensor& offset, const Tensor& mask,
                                     const Shape& weight_shape, const DeformConv2dParams& params) {
  const DeformConv2dDims dims = check("deform_conv2d_backward_weight", x, offset, mask, weight_shape, params);
  check_operand("deform_conv2d_backward_weight", "gy", gy, x.dtype(), dims.conv.output());
  Tensor gw = Tensor::empty(weight_shape, x.dtype(), x.device());
  deform_conv2d_backward_weight_kernels(dims, gy, x, offset, mask, gw);
  return gw;
}

}  // namespace tessera::ops
