// 2-D convolution (cross-correlation) in NHWC, f32, f64 and bf16 (ops/dtypes.h), all operands alike.
//
//   y[n, oh, ow, o] = act(bias[o] + sum over kh, kw, i
//                                   of x[n, oh s - p + kh d, ow s - p + kw d, g I + i] w[o, kh, kw, i])
//
// with stride s, padding p, dilation d, I = Cin / groups input channels per group and g = o / (Cout / groups); x is 0
// outside. Sizes as in PyTorch: Ho = floor((H + 2 p - d (Kh - 1) - 1) / s) + 1. Depthwise: groups = Cin = Cout.
#pragma once

#include "ops/activation.h"
#include "ops/kernel_table.h"

namespace tessera::ops {

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
  Shape output() const { return {N, Ho, Wo, Co}; }
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

// --- The same for weights that are final: packed once, used many times, in inference. No gradients.

// A convolution ready to run. Made by conv2d_pack; `form` is for the device and the SIMD level that made it.
struct PackedConv2d {
  Conv2dParams params;
  Shape weight_shape;     // [Cout, Kh, Kw, Cin/groups]
  Tensor bias;            // [Cout] or undefined
  Tensor form;            // the weight as the kernel reads it; undefined where the device has no such form
  bool winograd = false;  // form is for Winograd's algorithm (docs/winograd.md)
  Tensor weight;          // as it was given, where a kernel may need it beside `form`
};

// dims: of the smallest image that the kernel fits; what depends on the image is not known yet.
using Conv2dPackKernel = void(const Conv2dDims& dims, const Tensor& weight, bool winograd, PackedConv2d& packed);
using Conv2dPackedKernel = void(const Conv2dDims& dims, const Tensor& x, const PackedConv2d& packed,
                                const Tensor& residual, Tensor& y);
inline constinit KernelTable<Conv2dPackKernel> conv2d_pack_kernels{"conv2d_pack"};
inline constinit KernelTable<Conv2dPackedKernel> conv2d_packed_kernels{
    "conv2d_packed", [](const Conv2dDims& dims, auto&&...) { return multiply_adds(dims.multiply_adds()); }};

// winograd: whether 3x3 convolutions with stride 1 may use Winograd's algorithm. It is up to 4 times less work and has
// about 3 times the rounding error of the direct form; a NaN or an infinity reaches all outputs of the tile that sees
// it, at most 3 pixels further than in the direct form, which in turn equals conv2d within rounding.
PackedConv2d conv2d_pack(const Tensor& weight, const Tensor& bias, const Conv2dParams& params, bool winograd);

// y = act(conv(x) + bias + residual); residual has y's shape, or is undefined.
Tensor conv2d_packed(const Tensor& x, const PackedConv2d& packed, const Tensor& residual = {});

}  // namespace tessera::ops
