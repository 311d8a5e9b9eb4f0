#include "ops/checks.h"

namespace tessera::ops {

void check_input(const char* op, const Tensor& x, bool (&takes)(DType)) {
  TESSERA_CHECK(x.defined(), "{}: the input is undefined", op);
  TESSERA_CHECK(takes(x.dtype()), "{}: dtype {} is not supported, use {}", op, name_of(x.dtype()), types_taken(takes));
}

void check_operand(const char* op, const char* name, const Tensor& tensor, DType dtype) {
  TESSERA_CHECK(tensor.defined(), "{}: {} is undefined", op, name);
  TESSERA_CHECK(is_activation(tensor.dtype()), "{}: {} has dtype {}, use {}", op, name, name_of(tensor.dtype()),
                types_taken(is_activation));
  TESSERA_CHECK(tensor.dtype() == dtype, "{}: {} has dtype {}, the first operand {}; convert one with to()", op, name,
                name_of(tensor.dtype()), name_of(dtype));
}

void check_operand(const char* op, const char* name, const Tensor& tensor, DType dtype, const Shape& shape) {
  check_operand(op, name, tensor, dtype);
  check_shape(op, name, tensor, shape);
}

void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& expected) {
  TESSERA_CHECK(tensor.shape() == expected, "{}: {} must be {}, got {}", op, name, expected, tensor.shape());
}

void check_gradient(const char* op, const Tensor& gy, const Tensor& x) {
  TESSERA_CHECK(gy.shape() == x.shape() && gy.dtype() == x.dtype(), "{}: gy is {} {}, x is {} {}", op,
                name_of(gy.dtype()), gy.shape(), name_of(x.dtype()), x.shape());
}

void check_map(const char* op, const Shape& x) {
  TESSERA_CHECK(x.rank() == 4, "{}: x must be [N, H, W, C], got {}", op, x);
  TESSERA_CHECK(x[1] > 0 && x[2] > 0, "{}: x has no pixels: {}", op, x);
}

void check_channels(const char* op, const char* name, const Tensor& vector, const Tensor& x) {
  TESSERA_CHECK(vector.defined(), "{}: {} is missing; x is {}", op, name, x.shape());
  TESSERA_CHECK(vector.rank() == 1 && vector.dim(0) == x.dim(-1), "{}: {} must be [{}] for x {}, got {}", op, name,
                x.dim(-1), x.shape(), vector.shape());
  TESSERA_CHECK(vector.dtype() == parameter_dtype(x.dtype()), "{}: {} is {}, x is {}; convert one of them", op, name,
                name_of(vector.dtype()), name_of(x.dtype()));
}

}  // namespace tessera::ops
