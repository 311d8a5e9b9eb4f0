#include "ops/roi_align.h"

#include <cmath>

#include "ops/checks.h"

namespace tessera::ops {

namespace {

constexpr i64 kMaxSamplingRatio = 1 << 16;  // more points than pixels on any axis: surely a mistake

// The values of the rois are looked at where they lie: on the CPU here, elsewhere by the kernel.
template <class T>
void check_values(const char* op, const Tensor& rois, i64 images) {
  const T* roi = rois.data<T>();
  for (i64 r = 0; r < rois.dim(0); ++r, roi += 5) {
    TESSERA_CHECK(roi[0] >= 0 && roi[0] < static_cast<T>(images) && roi[0] == std::floor(roi[0]),
                  "{}: roi {} is of image {}, x has images 0 to {}", op, r, roi[0], images - 1);
    const double width = static_cast<double>(roi[3]) - static_cast<double>(roi[1]);
    const double height = static_cast<double>(roi[4]) - static_cast<double>(roi[2]);
    TESSERA_CHECK(std::isfinite(roi[1]) && std::isfinite(roi[2]) && std::isfinite(width) && std::isfinite(height),
                  "{}: roi {} is not finite: {}, {}, {}, {}", op, r, roi[1], roi[2], roi[3], roi[4]);
  }
}

void check(const char* op, const Shape& x, DType dtype, const Tensor& rois, const RoiAlignParams& p) {
  TESSERA_CHECK(is_activation(dtype), "{}: dtype {} is not supported, use {}", op, name_of(dtype),
                types_taken(is_activation));
  check_map(op, x);
  TESSERA_CHECK(rois.defined() && rois.rank() == 2 && rois.dim(1) == 5,
                "{}: rois must be [R, 5] with rows (image, x0, y0, x1, y1), got {}", op,
                rois.defined() ? rois.shape() : Shape());
  TESSERA_CHECK(rois.dtype() == parameter_dtype(dtype), "{}: rois are {}, x is {}; they must be the same", op,
                name_of(rois.dtype()), name_of(dtype));
  TESSERA_CHECK(p.height > 0 && p.width > 0, "{}: the output must have bins, asked for {} x {}", op, p.height, p.width);
  TESSERA_CHECK(p.spatial_scale > 0 && std::isfinite(p.spatial_scale), "{}: spatial_scale {} must be positive", op,
                p.spatial_scale);
  TESSERA_CHECK(p.sampling_ratio <= kMaxSamplingRatio,
                "{}: sampling_ratio {} must be at most {}; 0 or less: as many points as a bin has pixels", op,
                p.sampling_ratio, kMaxSamplingRatio);
  if (rois.device() == Device{}) dispatch_float(dtype, op, [&]<class T>() { check_values<T>(op, rois, x[0]); });
}

}  // namespace

Tensor roi_align(const Tensor& x, const Tensor& rois, const RoiAlignParams& params) {
  TESSERA_CHECK(x.defined(), "roi_align: x is undefined");
  check("roi_align", x.shape(), x.dtype(), rois, params);
  Tensor y = Tensor::empty({rois.dim(0), params.height, params.width, x.dim(3)}, x.dtype(), x.device());
  roi_align_kernels(x, rois, params, y);
  return y;
}

Tensor roi_align_backward(const Tensor& gy, const Tensor& rois, const Shape& x_shape, const RoiAlignParams& params) {
  TESSERA_CHECK(gy.defined(), "roi_align_backward: gy is undefined");
  check("roi_align_backward", x_shape, gy.dtype(), rois, params);
  const Shape expected{rois.dim(0), params.height, params.width, x_shape[3]};
  TESSERA_CHECK(gy.shape() == expected, "roi_align_backward: gy must be {}, got {}", expected, gy.shape());
  Tensor gx = Tensor::empty(x_shape, gy.dtype(), gy.device());
  roi_align_backward_kernels(gy, rois, params, gx);
  return gx;
}

}  // namespace tessera::ops
