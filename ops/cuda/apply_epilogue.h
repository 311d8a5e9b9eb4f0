// What follows a product or a convolution, in a pass of its own after a library that does not take it along.
#pragma once

#include "ops/activation.h"
#include "tensor/dtype.h"

namespace tessera::cuda {

// y = act(y + bias + residual), f32 or bf16: y [rows, columns] and residual, rows `pitch` elements apart, bias
// [columns]; bias and residual may be null.
template <class T>
void apply_epilogue(i64 rows, i64 columns, i64 pitch, const T* bias, const T* residual, ops::Activation activation,
                    T* y);

}  // namespace tessera::cuda
