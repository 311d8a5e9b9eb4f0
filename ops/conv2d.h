// 2-D convolution (cross-correlation) in NHWC, f32 and f64.
//
//   y[n, oh, ow, o] = act(bias[o] + sum over kh, kw, i of x[n, oh s - p + kh d, ow s - p + kw d, g I + i] w[o, kh, kw,
//   i])
//
// with stride s, padding p, dilation d, I = Cin / groups input channels per group and g = o / (Cout / groups); x is 0
// outside. Sizes as in PyTorch: Ho = floor((H + 2 p - d (Kh - 1) - 1) / s) + 1. Depthwise: groups = Cin = Cout.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Activation { kNone, kRelu };

struct Conv2dParams {
  i64 stride = 1, padding = 0, dilation = 1;  // pixels, the same for both axes
  i64 groups = 1;
  Activation activation = Activation::kNone;  // applied after the bias, in the same pass
};

// All sizes of one convolution, checked.
struct Conv2dDims {
  i64 N, H, W, Ci;  // x
  i64 Co, Kh, Kw;   // weight [Co, Kh, Kw, Ci / groups]
  i64 Ho, Wo;       // y [N, Ho, Wo, Co]
  i64 stride, padding, dilation, groups;
  i64 group_in() const { return Ci / groups; }
  i64 group_out() const { return Co / groups; }
  i64 multiply_adds() const { return N * Ho * Wo * Co * Kh * Kw * group_in(); }
};

// Throws, naming op, when the shapes do not fit together.
Conv2dDims conv2d_dims(const char* op, const Shape& x, const Shape& weight, const Conv2dParams& params);

using Conv2dKernel = void(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Activation activation, Tensor& y);
using Conv2dBackwardInputKernel = void(const Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx);
using Conv2dBackwardWeightKernel = void(const Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw);
inline constinit KernelTable<Conv2dKernel> conv2d_kernels{
    "conv2d", [](const Conv2dDims& dims, auto&&...) { return multiply_adds(dims.multiply_adds()); }};
inline constinit KernelTable<Conv2dBackwardInputKernel> conv2d_backward_input_kernels{"conv2d_backward_input"};
inline constinit KernelTable<Conv2dBackwardWeightKernel> conv2d_backward_weight_kernels{"conv2d_backward_weight"};

// x [N, H, W, Cin], weight [Cout, Kh, Kw, Cin/groups], bias [Cout] or undefined -> [N, Ho, Wo, Cout].
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dParams& params);

// The gradients, from gy [N, Ho, Wo, Cout]. With a fused activation gy is the gradient before the activation: the
// caller masks it (relu: gy where y > 0). params.activation is ignored here.
Tensor conv2d_backward_input(const Tensor& gy, const Tensor& weight, const Shape& x_shape, const Conv2dParams& params);
Tensor conv2d_backward_weight(const Tensor& gy, const Tensor& x, const Shape& weight_shape, const Conv2dParams& params);
Tensor conv2d_backward_bias(const Tensor& gy);  // [Cout]

}  // namespace tessera::ops
