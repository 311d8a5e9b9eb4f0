#include "ops/pool.h"

#include <limits>

#include "ops/checks.h"

namespace tessera::ops {

namespace {

i64 output_size(const char* op, i64 in, const Pool2dParams& p, const Shape& x) {
  const i64 room = in + 2 * p.padding - p.kernel + (p.ceil_mode ? p.stride - 1 : 0);  // for starts after the first
  i64 out = room < 0 ? 0 : room / p.stride + 1;
  if (p.ceil_mode && (out - 1) * p.stride >= in + p.padding) --out;
  TESSERA_CHECK(out > 0, "{}: a window of {} does not fit into {} pixels with padding {}; x {}", op, p.kernel, in,
                p.padding, x);
  return out;
}

Shape output_shape(const char* op, const Shape& x, const Pool2dParams& p) {
  check_map(op, x);
  TESSERA_CHECK(p.kernel >= 1 && p.stride >= 1, "{}: kernel and stride must be at least 1, got {} and {}", op, p.kernel,
                p.stride);
  TESSERA_CHECK(p.padding >= 0 && p.padding <= p.kernel / 2,
                "{}: padding must lie between 0 and half the kernel, got padding {} for kernel {}", op, p.padding,
                p.kernel);
  return {x[0], output_size(op, x[1], p, x), output_size(op, x[2], p, x), x[3]};
}

}  // namespace

MaxPool2dOutput max_pool2d(const Tensor& x, const Pool2dParams& params) {
  const Shape shape = output_shape("max_pool2d", x.shape(), params);
  TESSERA_CHECK(x.dim(1) <= std::numeric_limits<i32>::max() / x.dim(2),
                "max_pool2d: x {} has more pixels than the i32 offsets of the maxima can count", x.shape());
  MaxPool2dOutput output{Tensor::empty(shape, x.dtype(), x.device()), Tensor::empty(shape, DType::kI32, x.device())};
  max_pool2d_kernels(x, params, output.y, output.argmax);
  return output;
}

Tensor max_pool2d_backward(const Tensor& gy, const Tensor& argmax, const Shape& x_shape, const Pool2dParams& params) {
  check_shape("max_pool2d_backward", "gy", gy, output_shape("max_pool2d_backward", x_shape, params));
  TESSERA_CHECK(argmax.shape() == gy.shape(), "max_pool2d_backward: argmax {} and gy {} differ in shape",
                argmax.shape(), gy.shape());
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  max_pool2d_backward_kernels(gy, argmax, params, gx);
  return gx;
}

Tensor avg_pool2d(const Tensor& x, const Pool2dParams& params) {
  Tensor y = Tensor::empty(output_shape("avg_pool2d", x.shape(), params), x.dtype(), x.device());
  avg_pool2d_kernels(x, params, y);
  return y;
}

Tensor avg_pool2d_backward(const Tensor& gy, const Shape& x_shape, const Pool2dParams& params) {
  check_shape("avg_pool2d_backward", "gy", gy, output_shape("avg_pool2d_backward", x_shape, params));
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  avg_pool2d_backward_kernels(gy, params, gx);
  return gx;
}

Tensor adaptive_avg_pool2d(const Tensor& x, i64 height, i64 width) {
  check_map("adaptive_avg_pool2d", x.shape());
  TESSERA_CHECK(height >= 1 && width >= 1, "adaptive_avg_pool2d: the output must have pixels, asked for {} x {}",
                height, width);
  Tensor y = Tensor::empty({x.dim(0), height, width, x.dim(3)}, x.dtype(), x.device());
  adaptive_avg_pool2d_kernels(x, y);
  return y;
}

Tensor adaptive_avg_pool2d_backward(const Tensor& gy, const Shape& x_shape) {
  check_map("adaptive_avg_pool2d_backward", x_shape);
  check_map("adaptive_avg_pool2d_backward", gy.shape());
  check_shape("adaptive_avg_pool2d_backward", "gy", gy, {x_shape[0], gy.dim(1), gy.dim(2), x_shape[3]});
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  adaptive_avg_pool2d_backward_kernels(gy, gx);
  return gx;
}

}  // namespace tessera::ops
