// Sampling at points on the CPU; ops/grid_sample.h states the formulas. One sample is four rows of channels and four
// weights.
//
//   forward, points' gradient   threads share the points
//   x's gradient                threads share the channels, in groups of kGroup, and each goes through all points in
//                               order: no two write the same element, and its sum has one order
#include "ops/grid_sample.h"

#include <algorithm>
#include <vector>

#include "ops/cpu/bilinear_sample.h"
#include "ops/cpu/parallel.h"
#include "ops/scalar/grid_sample.h"

namespace tessera::ops {
namespace {

constexpr i64 kGroup = 16;  // channels: a cache line of floats

using scalar::GridAxis;

// All points of a call; `image` is null where each image has the same number of points, in order.
template <class T>
struct Points {
  const T* xy;
  const i64* image;
  i64 count, per_image;
  cpu::MapSize map;
  GridAxis rows, columns;

  static Points of_grid(const Tensor& grid, const Shape& x, bool align_corners) {
    return {.xy = grid.data<T>(),
            .image = nullptr,
            .count = grid.numel() / 2,
            .per_image = grid.dim(1) * grid.dim(2),
            .map = {x[1], x[2], x[3]},
            .rows = GridAxis::of_grid(x[1], align_corners),
            .columns = GridAxis::of_grid(x[2], align_corners)};
  }
  static Points of_points(const Tensor& image, const Tensor& points, const Shape& x) {
    return {.xy = points.data<T>(),
            .image = image.data<i64>(),
            .count = points.dim(0),
            .per_image = 0,
            .map = {x[1], x[2], x[3]},
            .rows = GridAxis::of_points(x[1]),
            .columns = GridAxis::of_points(x[2])};
  }

  cpu::BilinearSample<T> sample(i64 p) const {
    return cpu::bilinear_sample<T>(image ? image[p] : p / per_image, rows(xy[2 * p + 1]), columns(xy[2 * p]), map);
  }

  // Points for which a thread is worth its start.
  i64 grain() const { return 1 + (i64{1} << 12) / (map.C + 1); }
};

template <class T>
void forward(const Points<T>& points, const T* x, T* y) {
  const i64 C = points.map.C;
  const std::vector<T> zeros(static_cast<size_t>(C));
  const auto blend = simd::bilinear_kernels.get<T>().blend;
  parallel_ranges(points.count, points.grain(), [&](i64 begin, i64 end) {
    for (i64 p = begin; p < end; ++p) {
      const cpu::BilinearSample<T> sample = points.sample(p);
      blend(sample.corners(x, points.map, 0, zeros.data()).data(), sample.weights().data(), C, y + p * C);
    }
  });
}

template <class T>
void backward_input(const Points<T>& points, const T* gy, T* gx) {
  const i64 C = points.map.C, group = points.count > points.grain() ? kGroup : std::max(C, kGroup);
  const auto scatter = simd::bilinear_kernels.get<T>().scatter;
  parallel_ranges(C, group, [&](i64 begin, i64 end) {
    for (i64 p = 0; p < points.count; ++p) {
      const cpu::BilinearSample<T> sample = points.sample(p);
      scatter(sample.template corners<T>(gx, points.map, begin, nullptr).data(), sample.weights().data(),
              gy + p * C + begin, end - begin);
    }
  });
}

template <class T>
void backward_points(const Points<T>& points, const T* gy, const T* x, T* gxy) {
  const i64 C = points.map.C;
  const std::vector<T> zeros(static_cast<size_t>(C));
  const auto dot = simd::bilinear_kernels.get<T>().dot;
  parallel_ranges(points.count, points.grain(), [&](i64 begin, i64 end) {
    for (i64 p = begin; p < end; ++p) {
      const cpu::BilinearSample<T> sample = points.sample(p);
      gxy[2 * p] = gxy[2 * p + 1] = 0;
      if (!sample.any()) continue;
      T dots[4] = {};  // of each corner's channels with the gradient
      dot(sample.corners(x, points.map, 0, zeros.data()).data(), gy + p * C, C, dots);
      gxy[2 * p] = sample.slope_right(dots) * static_cast<T>(points.columns.scale);
      gxy[2 * p + 1] = sample.slope_down(dots) * static_cast<T>(points.rows.scale);
    }
  });
}

void grid_sample_cpu(const Tensor& x, const Tensor& grid, bool align_corners, Tensor& y) {
  dispatch_float(x.dtype(), "grid_sample", [&]<class T>() {
    forward(Points<T>::of_grid(grid, x.shape(), align_corners), x.data<T>(), y.data<T>());
  });
}

void grid_sample_backward_input_cpu(const Tensor& gy, const Tensor& grid, bool align_corners, Tensor& gx) {
  dispatch_float(gy.dtype(), "grid_sample_backward_input", [&]<class T>() {
    backward_input(Points<T>::of_grid(grid, gx.shape(), align_corners), gy.data<T>(), gx.data<T>());
  });
}

void grid_sample_backward_grid_cpu(const Tensor& gy, const Tensor& x, const Tensor& grid, bool align_corners,
                                   Tensor& ggrid) {
  dispatch_float(gy.dtype(), "grid_sample_backward_grid", [&]<class T>() {
    backward_points(Points<T>::of_grid(grid, x.shape(), align_corners), gy.data<T>(), x.data<T>(), ggrid.data<T>());
  });
}

void sample_points_cpu(const Tensor& x, const Tensor& image, const Tensor& points, Tensor& y) {
  dispatch_float(x.dtype(), "sample_points",
                 [&]<class T>() { forward(Points<T>::of_points(image, points, x.shape()), x.data<T>(), y.data<T>()); });
}

void sample_points_backward_input_cpu(const Tensor& gy, const Tensor& image, const Tensor& points, Tensor& gx) {
  dispatch_float(gy.dtype(), "sample_points_backward_input", [&]<class T>() {
    backward_input(Points<T>::of_points(image, points, gx.shape()), gy.data<T>(), gx.data<T>());
  });
}

void sample_points_backward_points_cpu(const Tensor& gy, const Tensor& x, const Tensor& image, const Tensor& points,
                                       Tensor& gpoints) {
  dispatch_float(gy.dtype(), "sample_points_backward_points", [&]<class T>() {
    backward_points(Points<T>::of_points(image, points, x.shape()), gy.data<T>(), x.data<T>(), gpoints.data<T>());
  });
}

const bool kAdded = grid_sample_kernels.add(DeviceKind::kCpu, grid_sample_cpu) &&
                    grid_sample_backward_input_kernels.add(DeviceKind::kCpu, grid_sample_backward_input_cpu) &&
                    grid_sample_backward_grid_kernels.add(DeviceKind::kCpu, grid_sample_backward_grid_cpu) &&
                    sample_points_kernels.add(DeviceKind::kCpu, sample_points_cpu) &&
                    sample_points_backward_input_kernels.add(DeviceKind::kCpu, sample_points_backward_input_cpu) &&
                    sample_points_backward_points_kernels.add(DeviceKind::kCpu, sample_points_backward_points_cpu);

}  // namespace
}  // namespace tessera::ops
