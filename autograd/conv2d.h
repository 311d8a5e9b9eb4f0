// Differentiable convolutions; see ops/conv2d.h, ops/conv_transpose2d.h and ops/deform_conv2d.h.
#pragma once

#include "autograd/var.h"
#include "ops/conv2d.h"
#include "ops/conv_transpose2d.h"
#include "ops/deform_conv2d.h"

namespace tessera {

// x [N, H, W, Cin], weight [Cout, Kh, Kw, Cin/groups], bias [Cout] or undefined -> [N, Ho, Wo, Cout].
// params.activation is applied after the bias, in the same pass.
Var conv2d(const Var& x, const Var& weight, const Var& bias, const ops::Conv2dParams& params);

// x [N, H, W, Cin], weight [Cin, Kh, Kw, Cout/groups], bias [Cout] or undefined -> [N, Ho, Wo, Cout].
Var conv_transpose2d(const Var& x, const Var& weight, const Var& bias, const ops::ConvTranspose2dParams& params);

// x [N, H, W, Cin], offset [N, Ho, Wo, offset_groups * 2 * Kh * Kw], mask [N, Ho, Wo, offset_groups * Kh * Kw] or
// undefined (v1), weight [Cout, Kh, Kw, Cin/groups], bias [Cout] or undefined -> [N, Ho, Wo, Cout].
Var deform_conv2d(const Var& x, const Var& offset, const Var& mask, const Var& weight, const Var& bias,
                  const ops::DeformConv2dParams& params);

}  // namespace tessera
