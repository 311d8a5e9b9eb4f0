#include "ops/interpolate.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

void check(const char* op, const Shape& x, i64 height, i64 width, Interpolation mode, bool align_corners) {
  check_map(op, x);
  TESSERA_CHECK(height > 0 && width > 0, "{}: the output must have pixels, asked for {} x {}; x {}", op, height, width,
                x);
  TESSERA_CHECK(!align_corners || mode == Interpolation::kBilinear,
                "{}: align_corners has no meaning for nearest; leave it false", op);
}

}  // namespace

Tensor interpolate(const Tensor& x, i64 height, i64 width, Interpolation mode, bool align_corners) {
  check("interpolate", x.shape(), height, width, mode, align_corners);
  Tensor y = Tensor::empty({x.dim(0), height, width, x.dim(3)}, x.dtype(), x.device());
  interpolate_kernels(x, mode, align_corners, y);
  return y;
}

Tensor interpolate_backward(const Tensor& gy, const Shape& x_shape, Interpolation mode, bool align_corners) {
  TESSERA_CHECK(gy.rank() == 4, "interpolate_backward: gy must be [N, H, W, C], got {}", gy.shape());
  check("interpolate_backward", x_shape, gy.dim(1), gy.dim(2), mode, align_corners);
  TESSERA_CHECK(gy.dim(0) == x_shape[0] && gy.dim(3) == x_shape[3],
                "interpolate_backward: gy {} and x {} differ in images or channels", gy.shape(), x_shape);
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  interpolate_backward_kernels(gy, mode, align_corners, gx);
  return gx;
}

}  // namespace tessera::ops
