// What operators check of their arguments alike, and how they make their results. Every error names the operator and
// the argument.
#pragma once

#include "ops/dtypes.h"
#include "tensor/tensor.h"

namespace tessera::ops {

// The only argument, or the one that decides the type of the others.
void check_input(const char* op, const Tensor& x, bool (&takes)(DType) = is_activation);

// An argument `name` in the type of the first; the second form: and of this shape.
void check_operand(const char* op, const char* name, const Tensor& tensor, DType dtype);
void check_operand(const char* op, const char* name, const Tensor& tensor, DType dtype, const Shape& shape);
void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& expected);

// gy of the shape and type of x
void check_gradient(const char* op, const Tensor& gy, const Tensor& x);

// x [N, H, W, C], of at least one pixel
void check_map(const char* op, const Shape& x);

// A vector over the channels of x [..., C], in the type of x's parameters.
void check_channels(const char* op, const char* name, const Tensor& vector, const Tensor& x);

// Of the shape, type and device of x.
inline Tensor empty_like(const Tensor& x) {
  return Tensor::empty(x.shape(), x.dtype(), x.device());
}
inline Tensor zeros_like(const Tensor& x) {
  return Tensor::zeros(x.shape(), x.dtype(), x.device());
}

}  // namespace tessera::ops
