// Sampling at points in CUDA; ops/grid_sample.h states the formulas. Coordinates are f64 on their way to pixels, as on
// the CPU: a point in a large map keeps its fraction.
//
//   forward            lanes share the channels of a point. Four pixels are read, mostly from the cache, one is written
//   points' gradient   the same; the four dot products are summed over the lanes
//   x's gradient       points grouped by the cell that they lie in (ops/cuda/group_by_key.h); then lanes share the
//                      channels of a pixel, which sums the points of its four cells, in order. Every gy is read by four
//                      pixels, from the cache where points close together come one after the other
//
// A point of an image that x does not have is 0 and has no gradient.
#include <algorithm>

#include "ops/cuda/bilinear_sample.h"
#include "ops/cuda/channels.h"
#include "ops/grid_sample.h"

namespace tessera {

namespace {

using namespace cuda;

// All points of a call; `image` is null where each image has the same number of points, in order.
struct Points {
  const float* xy;
  const i64* image;
  i64 count, images;
  u32 per_image;
  int H, W;
  i64 C;
  ops::GridAxes axes;

  __device__ i64 image_of(u32 p) const { return image ? image[p] : p / per_image; }
  __device__ BilinearSample sample(u32 p) const {
    const i64 n = image_of(p);
    if (n < 0 || n >= images) return {};
    return bilinear_sample(axes.rows(xy[2 * p + 1]), axes.columns(xy[2 * p]), H, W);
  }
};

Points points_of(const Tensor& image, const Tensor& points, const ops::GridAxes& axes, const Shape& x) {
  const i64 count = points.numel() / 2;
  return {.xy = points.device_data<float>(),
          .image = image.defined() ? image.device_data<i64>() : nullptr,
          .count = count,
          .images = x[0],
          .per_image = static_cast<u32>(count / std::max<i64>(x[0], 1)),
          .H = static_cast<int>(x[1]),
          .W = static_cast<int>(x[2]),
          .C = x[3],
          .axes = axes};
}

template <class T, int kWidth>
__global__ void sample_kernel(Points points, RowLanes lanes, const T* x, T* y) {
  const u32 p = lanes.row();
  if (p >= points.count) return;
  const BilinearSample sample = points.sample(p);
  const T* const map = x + points.image_of(p) * points.H * points.W * points.C;
  for (i64 c = lanes.lane() * kWidth; c < points.C; c += lanes.count * kWidth) {
    auto sum = Channels<kWidth>::zero();
    for (int k = 0; k < 4; ++k)
      if (sample.inside(k, points.H, points.W))
        sum.add(sample.weight(k), Channels<kWidth>::load(map + pixel_of(sample, k, points.W) * points.C + c));
    sum.store(y + p * points.C + c);
  }
}

template <class T, int kWidth>
__global__ void sample_backward_points_kernel(Points points, RowLanes lanes, const T* gy, const T* x, float* gxy) {
  const u32 p = lanes.row();
  const bool mine = p < points.count;  // all lanes stay for the sums
  const BilinearSample sample = mine ? points.sample(p) : BilinearSample{};
  const T* const map = mine ? x + points.image_of(p) * points.H * points.W * points.C : x;
  float dots[4] = {};  // of each corner's channels with the gradient
  for (i64 c = lanes.lane() * kWidth; c < points.C && sample.any(); c += lanes.count * kWidth) {
    const auto g = Channels<kWidth>::load(gy + p * points.C + c);
    for (int k = 0; k < 4; ++k)
      if (sample.inside(k, points.H, points.W))
        dots[k] += g.dot(Channels<kWidth>::load(map + pixel_of(sample, k, points.W) * points.C + c));
  }
  for (float& dot : dots) dot = lanes.sum(dot);
  if (!mine || lanes.lane() != 0) return;
  gxy[2 * p] = sample.slope_right(dots) * static_cast<float>(points.axes.columns.scale);
  gxy[2 * p + 1] = sample.slope_down(dots) * static_cast<float>(points.axes.rows.scale);
}

__global__ void cells_kernel(Points points, i64 cells, i32* keys) {
  for (const i64 i : indices(points.count)) {
    const u32 p = static_cast<u32>(i);
    const BilinearSample sample = points.sample(p);
    keys[p] =
        static_cast<i32>(sample.any() ? points.image_of(p) * cells + cell_of(sample, points.W) : points.images * cells);
  }
}

template <class T, int kWidth>
__global__ void sample_backward_input_kernel(Points points, RowLanes lanes, i64 cells, GroupsView by_cell, const T* gy,
                                             T* gx) {
  const u32 pixel = lanes.row(), W = static_cast<u32>(points.W), H = static_cast<u32>(points.H);
  if (pixel >= lanes.rows) return;
  const int u = static_cast<int>(pixel % W), v = static_cast<int>(pixel / W % H);
  const i64 base = pixel / W / H * cells;
  for (i64 c = lanes.lane() * kWidth; c < points.C; c += lanes.count * kWidth) {
    auto sum = Channels<kWidth>::zero();
    each_reader(by_cell, base, points.W, v, u, [&](u32 p, int k) {
      sum.add(points.sample(p).weight(k), Channels<kWidth>::load(gy + p * points.C + c));
    });
    sum.store(gx + pixel * points.C + c);
  }
}

void sample_points_cuda(const Tensor& x, const Tensor& image, const Tensor& xy, const ops::GridAxes& axes, Tensor& y) {
  const Points points = points_of(image, xy, axes, x.shape());
  dispatch_storage(x, [&]<class T>() {
    const T* in = x.device_data<T>();
    T* out = y.device_data<T>();
    dispatch_width(by_four(points.C, in, out), [&]<int kWidth>() {
      const RowLanes lanes(points.count, ceil_div(points.C, kWidth));
      launch<sample_kernel<T, kWidth>>(lanes.launch(), points, lanes, in, out);
    });
  });
}

void sample_points_backward_input_cuda(const Tensor& gy, const Tensor& image, const Tensor& xy,
                                       const ops::GridAxes& axes, Tensor& gx) {
  const Points points = points_of(image, xy, axes, gx.shape());
  const i64 cells = cells_of(points.H, points.W);
  check_keys("sample_points_backward_input", points.count, points.images * cells);
  Tensor keys = Tensor::empty({points.count}, DType::kI32, gx.device());
  launch<cells_kernel>(over(points.count), points, cells, keys.device_data<i32>());
  const Groups by_cell = group_by_key(std::move(keys), points.images * cells);
  dispatch_storage(gy, [&]<class T>() {
    const T* g = gy.device_data<T>();
    T* out = gx.device_data<T>();
    dispatch_width(by_four(points.C, g, out), [&]<int kWidth>() {
      const RowLanes lanes(points.images * points.H * points.W, ceil_div(points.C, kWidth));
      launch<sample_backward_input_kernel<T, kWidth>>(lanes.launch(), points, lanes, cells, GroupsView(by_cell), g,
                                                      out);
    });
  });
}

void sample_points_backward_points_cuda(const Tensor& gy, const Tensor& x, const Tensor& image, const Tensor& xy,
                                        const ops::GridAxes& axes, Tensor& gxy) {
  const Points points = points_of(image, xy, axes, x.shape());
  dispatch_storage(x, [&]<class T>() {
    const T *g = gy.device_data<T>(), *in = x.device_data<T>();
    dispatch_width(by_four(points.C, g, in), [&]<int kWidth>() {
      const RowLanes lanes(points.count, ceil_div(points.C, kWidth), kWarp);
      launch<sample_backward_points_kernel<T, kWidth>>(lanes.launch(), points, lanes, g, in, gxy.device_data<float>());
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sample_points_kernels.add(kDevice, sample_points_cuda),
    ops::sample_points_backward_input_kernels.add(kDevice, sample_points_backward_input_cuda),
    ops::sample_points_backward_points_kernels.add(kDevice, sample_points_backward_points_cuda),
};

}  // namespace

}  // namespace tessera
