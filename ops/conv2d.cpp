#include "ops/conv2d.h"

#include "ops/checks.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"

namespace tessera::ops {

Conv2dDims conv2d_dims(const char* op, const Shape& x, const Shape& weight, const Conv2dParams& params) {
  TESSERA_CHECK(x.rank() == 4 && weight.rank() == 4,
                "{}: x must be [N, H, W, Cin] and weight [Cout, Kh, Kw, Cin/groups]; x {}, weight {}", op, x, weight);
  TESSERA_CHECK(params.stride >= 1 && params.dilation >= 1 && params.padding >= 0 && params.groups >= 1,
                "{}: stride {}, dilation {} and groups {} must be at least 1, padding {} at least 0", op, params.stride,
                params.dilation, params.groups, params.padding);
  TESSERA_CHECK(weight[3] >= 1 && weight[1] >= 1 && weight[2] >= 1 && weight[0] >= 1,
                "{}: weight {} has an empty dimension", op, weight);
  TESSERA_CHECK(x[3] == weight[3] * params.groups, "{}: input has {} channels, weight {} expects {} x {} groups; x {}",
                op, x[3], weight, weight[3], params.groups, x);
  TESSERA_CHECK(weight[0] % params.groups == 0, "{}: {} output channels cannot be split into {} groups; weight {}", op,
                weight[0], params.groups, weight);
  Conv2dDims dims{.N = x[0],
                  .H = x[1],
                  .W = x[2],
                  .Ci = x[3],
                  .Co = weight[0],
                  .Kh = weight[1],
                  .Kw = weight[2],
                  .Ho = 0,
                  .Wo = 0,
                  .stride = params.stride,
                  .padding = params.padding,
                  .dilation = params.dilation,
                  .groups = params.groups};
  const i64 extent_h = dims.dilation * (dims.Kh - 1) + 1, extent_w = dims.dilation * (dims.Kw - 1) + 1;
  const i64 room_h = dims.H + 2 * dims.padding - extent_h, room_w = dims.W + 2 * dims.padding - extent_w;
  TESSERA_CHECK(
      dims.H >= 1 && dims.W >= 1 && room_h >= 0 && room_w >= 0,
      "{}: the kernel covers {} x {} pixels, the padded input only {} x {}; x {}, weight {}, padding {}, dilation {}",
      op, extent_h, extent_w, dims.H + 2 * dims.padding, dims.W + 2 * dims.padding, x, weight, dims.padding,
      dims.dilation);
  dims.Ho = room_h / dims.stride + 1;
  dims.Wo = room_w / dims.stride + 1;
  return dims;
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dParams& params) {
  check_operand("conv2d", "x", x, x.dtype());
  check_operand("conv2d", "weight", weight, x.dtype());
  const Conv2dDims dims = conv2d_dims("conv2d", x.shape(), weight.shape(), params);
  if (bias) check_operand("conv2d", "bias", bias, weight.dtype(), {weight.dim(0)});
  Tensor y = Tensor::empty(dims.output(), x.dtype(), x.device());
  conv2d_kernels(dims, x, weight, bias, params.activation, y);
  return y;
}

Tensor conv2d_backward_input(const Tensor& gy, const Tensor& weight, const Shape& x_shape, const Conv2dParams& params) {
  check_operand("conv2d_backward_input", "gy", gy, gy.dtype());
  check_operand("conv2d_backward_input", "weight", weight, gy.dtype());
  const Conv2dDims dims = conv2d_dims("conv2d_backward_input", x_shape, weight.shape(), params);
  check_shape("conv2d_backward_input", "gy", gy, dims.output());
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  conv2d_backward_input_kernels(dims, gy, weight, gx);
  return gx;
}

Tensor conv2d_backward_weight(const Tensor& gy, const Tensor& x, const Shape& weight_shape,
                              const Conv2dParams& params) {
  check_operand("conv2d_backward_weight", "gy", gy, gy.dtype());
  check_operand("conv2d_backward_weight", "x", x, gy.dtype());
  const Conv2dDims dims = conv2d_dims("conv2d_backward_weight", x.shape(), weight_shape, params);
  check_shape("conv2d_backward_weight", "gy", gy, dims.output());
  Tensor gw = Tensor::empty(weight_shape, gy.dtype(), gy.device());
  conv2d_backward_weight_kernels(dims, gy, x, gw);
  return gw;
}

PackedConv2d conv2d_pack(const Tensor& weight, const Tensor& bias, const Conv2dParams& params, bool winograd) {
  check_operand("conv2d_pack", "weight", weight, weight.dtype());
  TESSERA_CHECK(weight.rank() == 4, "conv2d_pack: weight must be [Cout, Kh, Kw, Cin/groups], got {}", weight.shape());
  // The smallest input that the kernel fits: all that can be wrong with weight and params shows here.
  const i64 H = params.dilation * (weight.dim(1) - 1) + 1, W = params.dilation * (weight.dim(2) - 1) + 1;
  const Conv2dDims dims = conv2d_dims("conv2d_pack", {1, H, W, weight.dim(3) * params.groups}, weight.shape(), params);
  if (bias) check_operand("conv2d_pack", "bias", bias, weight.dtype(), {weight.dim(0)});
  PackedConv2d packed{
      .params = params, .weight_shape = weight.shape(), .bias = bias, .form = {}, .winograd = false, .weight = weight};
  if (conv2d_pack_kernels.supports(weight.device().kind)) conv2d_pack_kernels(dims, weight, winograd, packed);
  return packed;
}

Tensor conv2d_packed(const Tensor& x, const PackedConv2d& packed, const Tensor& residual) {
  const Tensor& held = packed.form.defined() ? packed.form : packed.weight;
  TESSERA_CHECK(held.defined(), "conv2d_packed: the convolution is not packed; use conv2d_pack");
  check_operand("conv2d_packed", "x", x, held.dtype());
  TESSERA_CHECK(x.device() == held.device(), "conv2d_packed: x lies on {}, the packed weight on {}", x.device(),
                held.device());
  const Conv2dDims dims = conv2d_dims("conv2d_packed", x.shape(), packed.weight_shape, packed.params);
  if (residual) check_operand("conv2d_packed", "residual", residual, x.dtype(), dims.output());
  if (packed.form.defined()) {
    Tensor y = Tensor::empty(dims.output(), x.dtype(), x.device());
    conv2d_packed_kernels(dims, x, packed, residual, y);
    return y;
  }
  Conv2dParams params = packed.params;
  if (residual.defined()) params.activation = Activation::kNone;
  const Tensor y = conv2d(x, packed.weight, packed.bias, params);
  if (!residual.defined()) return y;
  const Tensor sum = add(y, residual);
  return packed.params.activation == Activation::kNone   ? sum
         : packed.params.activation == Activation::kRelu ? relu(sum)
                                                         : relu6(sum);
}

Tensor conv2d_backward_bias(const Tensor& gy) {
  return column_sum(gy);
}

}  // namespace tessera::ops
