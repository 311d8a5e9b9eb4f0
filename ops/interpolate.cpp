#include "ops/interpolate.h"

#include "ops/arrange.h"
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
  interpolate_kernels(x, mode, align_corners, 0, y);
  return y;
}

Tensor interpolate_backward(const Tensor& gy, const Shape& x_shape, Interpolation mode, bool align_corners,
                            i64 channel) {
  TESSERA_CHECK(gy.rank() == 4, "interpolate_backward: gy must be [N, H, W, C], got {}", gy.shape());
  check("interpolate_backward", x_shape, gy.dim(1), gy.dim(2), mode, align_corners);
  TESSERA_CHECK(gy.dim(0) == x_shape[0] && channel >= 0 && gy.dim(3) - channel >= x_shape[3],
                "interpolate_backward: gy {} and x {} differ in images, or gy has not as many channels from {} on",
                gy.shape(), x_shape, channel);
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  interpolate_backward_kernels(gy, mode, align_corners, channel, gx);
  return gx;
}

Tensor concat_resized(const std::vector<Tensor>& parts, i64 height, i64 width, Interpolation mode) {
  TESSERA_CHECK(!parts.empty(), "concat_resized: no parts");
  const Tensor& first = parts.front();
  i64 channels = 0;
  for (const Tensor& part : parts) {
    TESSERA_CHECK(part.defined(), "concat_resized: a part is undefined");
    check("concat_resized", part.shape(), height, width, mode, false);
    TESSERA_CHECK(part.dim(0) == first.dim(0) && part.dtype() == first.dtype(),
                  "concat_resized: parts {} {} and {} {} differ in images or dtype", name_of(first.dtype()),
                  first.shape(), name_of(part.dtype()), part.shape());
    channels += part.dim(3);
  }
  Tensor y = Tensor::empty({first.dim(0), height, width, channels}, first.dtype(), first.device());
  i64 channel = 0;
  for (const Tensor& part : parts) {
    if (part.dim(1) == height && part.dim(2) == width)
      slice_into(part, y, 3, channel);
    else
      interpolate_kernels(part, mode, false, channel, y);
    channel += part.dim(3);
  }
  return y;
}

}  // namespace tessera::ops
