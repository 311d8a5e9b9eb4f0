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

namespace tessera::ops {
namespace {

constexpr i64 kGroup = 16;  // channels: a cache line of floats

// All points of a call; `image` is null where each image has the same number of points, in order.
template <class T>
struct Points {
  const T* xy;
  const i64* image;
  i64 count, per_image;
  cpu::MapSize map;
  GridAxes axes;

  Points(const Tensor& images, const Tensor& points, const GridAxes& to_pixels, const Shape& x)
      : xy(points.data<T>()),
        image(images.defined() ? images.data<i64>() : nullptr),
        count(points.numel() / 2),
        per_image(count / std::max<i64>(x[0], 1)),
        map{x[1], x[2], x[3]},
        axes(to_pixels) {}

  cpu::BilinearSample<T> sample(i64 p) const {
    return cpu::bilinear_sample<T>(image ? image[p] : p / per_image, axes.rows(xy[2 * p + 1]), axes.columns(xy[2 * p]),
                                   map);
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
      gxy[2 * p] = sample.slope_right(dots) * static_cast<T>(points.axes.columns.scale);
      gxy[2 * p + 1] = sample.slope_down(dots) * static_cast<T>(points.axes.rows.scale);
    }
  });
}

void sample_points_cpu(const Tensor& x, const Tensor& image, const Tensor& points, const GridAxes& axes, Tensor& y) {
  dispatch_float(x.dtype(), "sample_points",
                 [&]<class T>() { forward(Points<T>(image, points, axes, x.shape()), x.data<T>(), y.data<T>()); });
}

void sample_points_backward_input_cpu(const Tensor& gy, const Tensor& image, const Tensor& points, const GridAxes& axes,
                                      Tensor& gx) {
  dispatch_float(gy.dtype(), "sample_points_backward_input", [&]<class T>() {
    backward_input(Points<T>(image, points, axes, gx.shape()), gy.data<T>(), gx.data<T>());
  });
}

void sample_points_backward_points_cpu(const Tensor& gy, const Tensor& x, const Tensor& image, const Tensor& points,
                                       const GridAxes& axes, Tensor& gpoints) {
  dispatch_float(gy.dtype(), "sample_points_backward_points", [&]<class T>() {
    backward_points(Points<T>(image, points, axes, x.shape()), gy.data<T>(), x.data<T>(), gpoints.data<T>());
  });
}

const bool kAdded = sample_points_kernels.add(DeviceKind::kCpu, sample_points_cpu) &&
                    sample_points_backward_input_kernels.add(DeviceKind::kCpu, sample_points_backward_input_cpu) &&
                    sample_points_backward_points_kernels.add(DeviceKind::kCpu, sample_points_backward_points_cpu);

}  // namespace
}  // namespace tessera::ops
