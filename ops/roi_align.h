// RoIAlign (He et al. 2017) in NHWC, as in torchvision: f32 and f64, or x and y in bf16 and rois in f32.
//
// A roi is a row (image, x0, y0, x1, y1). Scaled by s = spatial_scale and, when aligned, moved by -1/2, it is cut into
// h x w bins; y of a bin is the mean of x at n_y x n_x points spread evenly over the bin:
//
//   y[r, i, j, c] = 1 / (n_y n_x) sum over a < n_y, b < n_x of x(image, v_a, u_b)[c]
//   v_a = s y0 - o + (i + (a + 1/2) / n_y) (s y1 - s y0) / h          o = 1/2 when aligned, else 0; u_b in the same way
//
//   n_y = sampling_ratio, or where that is 0 or less = ceil((s y1 - s y0) / h) per roi, and n_x likewise.
//
// x(image, v, u) is bilinear, with torchvision's edges: a point with v < -1 or v > H is 0 (but counts in the mean), -1
// <= v <= 0 is row 0, and from H - 1 on it is row H - 1; columns likewise.
//
// Odd rois. Not aligned, a scaled roi is made at least 1 wide and 1 high, keeping its first corner. Aligned, an empty
// or inverted roi is left as it is: without a sampling_ratio it has no points and gives 0; with one its points lie where
// the formula puts them (mirrored when inverted). A huge roi costs no more than the pixels of the map: points outside
// are counted, not visited. A coordinate that is NaN or infinite, or an image that is no index of x, is an error; on
// other devices than the CPU such a roi gives 0 and adds nothing to the gradient.
//
// The gradient goes to x alone, as in torchvision: rois have none, and autograd throws when it is asked for. Each
// pixel's gradient is summed in the order of the rois: the bits do not depend on the number of threads.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct RoiAlignParams {
  i64 height = 0, width = 0;  // bins: torchvision's output_size
  double spatial_scale = 1;   // pixels of x per unit of the rois
  i64 sampling_ratio = -1;    // points per bin and axis; 0 or less: as many as the bin has pixels
  bool aligned = false;       // pixel centres at whole numbers, as in Detectron2
};

// x [N, H, W, C], rois [R, 5] -> [R, height, width, C]. N, C and R may be 0, H and W not.
Tensor roi_align(const Tensor& x, const Tensor& rois, const RoiAlignParams& params);
Tensor roi_align_backward(const Tensor& gy, const Tensor& rois, const Shape& x_shape, const RoiAlignParams& params);

using RoiAlignKernel = void(const Tensor& x, const Tensor& rois, const RoiAlignParams& params, Tensor& y);
using RoiAlignBackwardKernel = void(const Tensor& gy, const Tensor& rois, const RoiAlignParams& params, Tensor& gx);

// The published counts know no adaptive number of points: it counts as one.
inline constinit KernelTable<RoiAlignKernel> roi_align_kernels{
    "roi_align", [](const Tensor&, const Tensor&, const RoiAlignParams& params, Tensor& y) {
      const i64 points = params.sampling_ratio > 0 ? params.sampling_ratio : 1;
      return Work{0, 4 * points * points * y.numel()};
    }};
inline constinit KernelTable<RoiAlignBackwardKernel> roi_align_backward_kernels{"roi_align_backward"};

}  // namespace tessera::ops
