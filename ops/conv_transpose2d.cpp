#include "ops/conv_transpose2d.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

constexpr const char* kName = "conv_transpose2d";

Conv2dParams convolution(const ConvTranspose2dParams& p) {
  return {.stride = p.stride, .padding = p.padding, .dilation = p.dilation, .groups = p.groups};
}

i64 out_size(i64 in, i64 kernel, const ConvTranspose2dParams& p) {
  return (in - 1) * p.stride - 2 * p.padding + p.dilation * (kernel - 1) + p.output_padding + 1;
}

// The convolution from y to x.
Conv2dDims check(const Shape& x, const Shape& weight, const ConvTranspose2dParams& p) {
  TESSERA_CHECK(x.rank() == 4 && weight.rank() == 4,
                "{}: x must be [N, H, W, Cin] and weight [Cin, Kh, Kw, Cout/groups], got {} and {}", kName, x, weight);
  TESSERA_CHECK(x[3] == weight[0], "{}: input has {} channels, weight expects {}; x {}, weight {}", kName, x[3],
                weight[0], x, weight);
  TESSERA_CHECK(p.stride >= 1 && p.dilation >= 1 && p.padding >= 0 && p.groups >= 1,
                "{}: stride {}, dilation {} and groups {} must be at least 1, padding {} at least 0", kName, p.stride,
                p.dilation, p.groups, p.padding);
  TESSERA_CHECK(p.output_padding >= 0 && p.output_padding < p.stride,
                "{}: output_padding {} must be at least 0 and smaller than the stride {}", kName, p.output_padding,
                p.stride);
  TESSERA_CHECK(x[3] % p.groups == 0, "{}: {} channels cannot be split into {} groups; x {}", kName, x[3], p.groups, x);
  const Shape y{x[0], out_size(x[1], weight[1], p), out_size(x[2], weight[2], p), weight[3] * p.groups};
  TESSERA_CHECK(x[1] > 0 && x[2] > 0 && y[1] > 0 && y[2] > 0,
                "{}: x {} with a {}x{} kernel, stride {} and padding {} gives an output of {}x{} pixels", kName, x,
                weight[1], weight[2], p.stride, p.padding, y[1], y[2]);
  return conv2d_dims(kName, y, weight, convolution(p));
}

}  // namespace

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dParams& params) {
  check_operand(kName, "x", x, x.dtype());
  check_operand(kName, "weight", weight, x.dtype());
  const Conv2dDims dims = check(x.shape(), weight.shape(), params);
  if (bias) check_operand(kName, "bias", bias, x.dtype(), {dims.Ci});
  Tensor y = Tensor::empty({dims.N, dims.H, dims.W, dims.Ci}, x.dtype(), x.device());
  conv_transpose2d_kernels(dims, x, weight, bias, y);
  return y;
}

Tensor conv_transpose2d_backward_input(const Tensor& gy, const Tensor& weight, const ConvTranspose2dParams& params) {
  return conv2d(gy, weight, Tensor(), convolution(params));
}

Tensor conv_transpose2d_backward_weight(const Tensor& gy, const Tensor& x, const Shape& weight_shape,
                                        const ConvTranspose2dParams& params) {
  return conv2d_backward_weight(x, gy, weight_shape, convolution(params));
}

}  // namespace tessera::ops
