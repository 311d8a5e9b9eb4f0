#include "ops/deform_conv2d.h"

#include "ops/dtypes.h"

namespace tessera::ops {

namespace {

void check_operand(const char* op, const char* name, const Tensor& tensor, DType dtype) {
  TESSERA_CHECK(tensor.defined(), "{}: {} is undefined", op, name);
  TESSERA_CHECK(is_activation(tensor.dtype()) && tensor.dtype() == dtype,
                "{}: {} has dtype {}, needed are f32 or f64, the same for all (x: {})", op, name,
                name_of(tensor.dtype()), name_of(dtype));
}

void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& expected) {
  TESSERA_CHECK(tensor.shape() == expected, "{}: {} must be {}, got {}", op, name, expected, tensor.shape());
}

DeformConv2dDims check(const char* op, const Tensor& x, const Tensor& offset, const Tensor& mask, const Shape& weight,
                       const DeformConv2dParams& params) {
  check_operand(op, "x", x, x.dtype());
  check_operand(op, "offset", offset, parameter_dtype(x.dtype()));
  const Conv2dParams dense{
      .stride = params.stride, .padding = params.padding, .dilation = params.dilation, .groups = params.groups};
  const DeformConv2dDims dims{conv2d_dims(op, x.shape(), weight, dense), params.offset_groups};
  const Conv2dDims& conv = dims.conv;
  TESSERA_CHECK(params.offset_groups >= 1 && conv.Ci % params.offset_groups == 0,
                "{}: {} channels cannot be split into {} offset groups; x {}", op, conv.Ci, params.offset_groups,
                x.shape());
  check_shape(op, "offset", offset, {conv.N, conv.Ho, conv.Wo, 2 * params.offset_groups * dims.positions()});
  if (mask.defined()) {
    check_operand(op, "mask", mask, parameter_dtype(x.dtype()));
    check_shape(op, "mask", mask, {conv.N, conv.Ho, conv.Wo, params.offset_groups * dims.positions()});
  }
  return dims;
}

void check_gradient(const char* op, const Tensor& gy, const Tensor& x, const Conv2dDims& conv) {
  check_operand(op, "gy", gy, x.dtype());
  check_shape(op, "gy", gy, {conv.N, conv.Ho, conv.Wo, conv.Co});
}

}  // namespace

Tensor deform_conv2d(const Tensor& x, const Tensor& offset, const Tensor& mask, const Tensor& weight,
                     const Tensor& bias, const DeformConv2dParams& params) {
  check_operand("deform_conv2d", "weight", weight, x.dtype());
  const DeformConv2dDims dims = check("deform_conv2d", x, offset, mask, weight.shape(), params);
  if (bias.defined()) {
    check_operand("deform_conv2d", "bias", bias, x.dtype());
    check_shape("deform_conv2d", "bias", bias, {dims.conv.Co});
  }
  Tensor y = Tensor::empty({dims.conv.N, dims.conv.Ho, dims.conv.Wo, dims.conv.Co}, x.dtype(), x.device());
  deform_conv2d_kernels(dims, x, offset, mask, weight, bias, y);
  return y;
}

DeformConv2dGradients deform_conv2d_backward_input(const Tensor& gy, const Tensor& x, const Tensor& offset,
                                                   const Tensor& mask, const Tensor& weight,
                                                   const DeformConv2dParams& params) {
  check_operand("deform_conv2d_backward_input", "weight", weight, x.dtype());
  const DeformConv2dDims dims = check("deform_conv2d_backward_input", x, offset, mask, weight.shape(), params);
  check_gradient("deform_conv2d_backward_input", gy, x, dims.conv);
  DeformConv2dGradients g{.x = Tensor::zeros(x.shape(), x.dtype(), x.device()),
                          .offset = Tensor::empty(offset.shape(), offset.dtype(), x.device()),
                          .mask = mask.defined() ? Tensor::empty(mask.shape(), mask.dtype(), x.device()) : Tensor()};
  deform_conv2d_backward_input_kernels(dims, gy, x, offset, mask, weight, g.x, g.offset, g.mask);
  return g;
}

Tensor deform_conv2d_backward_weight(const Tensor& gy, const Tensor& x, const Tensor& offset, const Tensor& mask,
                                     const Shape& weight_shape, const DeformConv2dParams& params) {
  const DeformConv2dDims dims = check("deform_conv2d_backward_weight", x, offset, mask, weight_shape, params);
  check_gradient("deform_conv2d_backward_weight", gy, x, dims.conv);
  Tensor gw = Tensor::empty(weight_shape, x.dtype(), x.device());
  deform_conv2d_backward_weight_kernels(dims, gy, x, offset, mask, gw);
  return gw;
}

}  // namespace tessera::ops
