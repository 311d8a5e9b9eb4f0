// Bilinear sampling of NHWC maps at given points, f32 and f64, or maps in bf16 and points in f32. Pixels outside the
// map count as 0.
//
//   y[p, c] = sum over the four pixels (v, u) around (h, w) of (1 - |h - v|) (1 - |w - u|) x[n, v, u, c]
//
//   grid_sample     points are (x, y) in [-1, 1], as in PyTorch's grid_sample with padding_mode='zeros':
//                   w = ((x + 1) W - 1) / 2, so that -1 and 1 are the outer edges of the first and last pixel, or with
//                   align_corners w = (x + 1) (W - 1) / 2, so that they are these pixels' centres; h from y likewise
//   sample_points   points are (x, y) in [0, 1] of image[p], 0 and 1 the outer edges: w = x W - 1/2. Many points of
//                   many maps without a copy of any map
//
// A point outside [-1, H) x [-1, W) in pixels, or at NaN or infinity, is 0 and has no gradient (as in PyTorch on CUDA;
// its CPU kernel gives NaN for NaN and infinity). The derivative by a coordinate is that of the bilinear surface
// towards larger coordinates where it has a kink, as in PyTorch. All gradients are summed in a fixed order: the bits do
// not depend on the number of threads.
#pragma once

#include "ops/kernel_table.h"
#include "ops/scalar/host_device.h"

namespace tessera::ops {

// x [N, H, W, C], grid [N, Ho, Wo, 2] -> [N, Ho, Wo, C]. All but H and W may be 0.
Tensor grid_sample(const Tensor& x, const Tensor& grid, bool align_corners = false);
Tensor grid_sample_backward_input(const Tensor& gy, const Tensor& grid, const Shape& x_shape, bool align_corners);
Tensor grid_sample_backward_grid(const Tensor& gy, const Tensor& x, const Tensor& grid, bool align_corners);

// x [N, H, W, C], image [P] i64 in [0, N), points [P, 2] -> [P, C]. Another image is an error; on other devices than
// the CPU its point is 0 and has no gradient.
Tensor sample_points(const Tensor& x, const Tensor& image, const Tensor& points);
Tensor sample_points_backward_input(const Tensor& gy, const Tensor& image, const Tensor& points, const Shape& x_shape);
Tensor sample_points_backward_points(const Tensor& gy, const Tensor& x, const Tensor& image, const Tensor& points);

// A coordinate in pixels. f64: a point in a large map keeps its fraction.
struct GridAxis {
  double scale, shift;

  template <class T>
  TESSERA_HD double operator()(T coordinate) const {
    return static_cast<double>(coordinate) * scale + shift;
  }
};
struct GridAxes {
  GridAxis rows, columns;
};

// Both operators: points [.., 2]; `image` is undefined where each image has the same number of points, in order.
using SamplePointsKernel = void(const Tensor& x, const Tensor& image, const Tensor& points, const GridAxes& axes,
                                Tensor& y);
using SamplePointsBackwardInputKernel = void(const Tensor& gy, const Tensor& image, const Tensor& points,
                                             const GridAxes& axes, Tensor& gx);
using SamplePointsBackwardPointsKernel = void(const Tensor& gy, const Tensor& x, const Tensor& image,
                                              const Tensor& points, const GridAxes& axes, Tensor& gpoints);
inline constinit KernelTable<SamplePointsKernel> sample_points_kernels{
    "sample_points", [](const Tensor&, const Tensor&, const Tensor&, const GridAxes&, Tensor& y) {
      return Work{0, 4 * y.numel()};
    }};
inline constinit KernelTable<SamplePointsBackwardInputKernel> sample_points_backward_input_kernels{
    "sample_points_backward_input"};
inline constinit KernelTable<SamplePointsBackwardPointsKernel> sample_points_backward_points_kernels{
    "sample_points_backward_points"};

}  // namespace tessera::ops
