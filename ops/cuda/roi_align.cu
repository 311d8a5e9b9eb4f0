// RoIAlign in CUDA; ops/roi_align.h states the formula, ops/scalar/roi_align.h has its axes.
//
//   forward    a block has some rows of a roi's bins. It finds the points of each row and each column of bins once, in
//              f64: the pixels that they lie between and f32 weights, in shared memory. Neighbouring threads have
//              neighbouring channels; the four corners of a point come from the cache: with sampling_ratio 2 that is 16
//              reads per value, which bounds it
//   backward   gx is cut into tiles of 8 x 8 pixels and 32 lanes of channels, one block each; a warp has a row of the
//              tile in registers. The block looks for the rois that touch the tile, 256 at a time, and goes through
//              them in order, kRois at a time: first the weights of their bins on the tile's rows and columns (shared
//              memory), then gx += row weight * column weight * gy. Each gy is read once per row of pixels that it
//              reaches, and a pixel's sum runs in the order of the rois: no atomics, no memory beside the result
//
// A roi whose image x does not have, or with a coordinate that is not finite, gives 0 and adds nothing.
#include "ops/cuda/channels.h"
#include "ops/cuda/divider.h"
#include "ops/cuda/scan.h"
#include "ops/scalar/bilinear.h"
#include "ops/scalar/roi_align.h"

namespace tessera {

namespace {

using namespace cuda;
using namespace scalar;

struct Dims {
  i64 images, rois;
  int H, W;
  i64 C;
  int height, width;  // bins
  ops::RoiAlignParams params;
};

Dims dims_of(const Tensor& rois, const ops::RoiAlignParams& p, const Shape& x) {
  return {.images = x[0],
          .rois = rois.dim(0),
          .H = static_cast<int>(x[1]),
          .W = static_cast<int>(x[2]),
          .C = x[3],
          .height = static_cast<int>(p.height),
          .width = static_cast<int>(p.width),
          .params = p};
}

// axis 0: rows, 1: columns. Without points where the roi cannot be used.
__device__ RoiAxis axis_of(const Dims& d, const float* roi, int axis) {
  const bool usable = roi[0] >= 0 && roi[0] < static_cast<float>(d.images) && roi[0] == std::floor(roi[0]) &&
                      std::isfinite(roi[1]) && std::isfinite(roi[2]) && std::isfinite(roi[3]) && std::isfinite(roi[4]);
  const int bins = axis ? d.width : d.height, size = axis ? d.W : d.H;
  if (!usable) return {0, 0, 0, 0, bins, size};
  return RoiAxis::of(d.params, roi[2 - axis], roi[4 - axis], bins, size);
}

// What pixel v weighs in the mean of bin i.
__device__ float weight_of(const RoiAxis& axis, int i, int v) {
  const RoiPoints near = axis.between(i, v - 1, v + 1);
  double sum = 0;
  for (i64 k = 0; k < near.count; ++k) {
    const double place = axis.place(i, near.first + static_cast<double>(k));
    if (!axis.on_map(place)) continue;
    const double distance = std::fabs(axis.on_pixels(place) - v);
    if (distance < 1) sum += 1 - distance;
  }
  return static_cast<float>(sum / axis.points);
}

// The bins that may have points in [low, high]: [*first, *end).
__device__ void bins_between(const RoiAxis& axis, double low, double high, int* first, int* end) {
  const int bins = static_cast<int>(axis.bins);
  *first = 0, *end = axis.points > 0 ? bins : 0;
  if (axis.bin == 0) return;
  const double a = (low - axis.begin) / axis.bin, b = (high - axis.begin) / axis.bin;
  *first = static_cast<int>(clamped<double>(std::floor(smaller(a, b)), 0, bins));
  *end = static_cast<int>(clamped<double>(std::floor(larger(a, b)) + 1, 0, *end));
}

// The points of a bin that are on the map.
__device__ RoiPoints points_of(const RoiAxis& axis, int bin) {
  if (axis.points == 0 || (axis.step == 0 && !axis.on_map(axis.place(bin, 0)))) return {0, 0};
  RoiPoints points = axis.between(bin, -1, static_cast<double>(axis.size));  // and perhaps one more on either side
  for (; points.count > 0 && !axis.on_map(axis.place(bin, points.first)); --points.count) ++points.first;
  while (points.count > 0 && !axis.on_map(axis.place(bin, points.first + static_cast<double>(points.count - 1))))
    --points.count;
  return points;
}

// A row or column of points: the two pixels that it lies between and their weights.
struct alignas(16) Tap {
  int low, high;
  float near, far;

  __device__ static Tap of(const RoiAxis& axis, int bin, double point) {
    const RoiPixels pixels = axis.pixels(axis.place(bin, point));
    const int low = static_cast<int>(pixels.low);
    const float far = static_cast<float>(pixels.fraction);
    return {low, pixels.fraction > 0 ? low + 1 : low, 1 - far, far};
  }
};

constexpr i64 kSharedBytes = 96 * 1024;  // of a block, whatever it keeps there

// A bin's points along one axis.
struct Bin {
  static constexpr int kKept = 8;
  RoiPoints points;
  Tap taps[kKept];  // of the first of them; unless these are all, what follows is found where it is needed

  template <bool kAll>
  __device__ Tap tap(const RoiAxis& axis, int bin, int k) const {
    return kAll || k < kKept ? taps[k] : Tap::of(axis, bin, points.first + k);
  }
};

// blockIdx.x: the roi. blockIdx.y: which `most` of its rows of bins. pieces: kWidth channels of a bin each. kAll: no
// bin has more than kKept points along an axis.
template <class T, int kWidth, bool kAll>
__global__ void roi_align_kernel(Dims d, int most, Divider width, Divider pieces, const T* __restrict__ x,
                                 const float* __restrict__ rois, T* __restrict__ y) {
  struct Shared {
    RoiAxis axis[2];
  };
  auto& [axes] = shared_memory<Shared>();
  Bin* const bins = dynamic_shared<Bin>();  // [most] rows, then [width] columns
  const float* const roi = rois + i64{blockIdx.x} * 5;
  if (threadIdx.x < 2) axes[threadIdx.x] = axis_of(d, roi, static_cast<int>(threadIdx.x));
  __syncthreads();
  const int first = static_cast<int>(blockIdx.y) * most, rows = most < d.height - first ? most : d.height - first;
  for (int k = static_cast<int>(threadIdx.x); k < (most + d.width) * Bin::kKept; k += kMostThreads) {
    const int bin = k / Bin::kKept, point = k % Bin::kKept, at = bin < most ? first + bin : bin - most;
    const RoiAxis& axis = axes[bin < most ? 0 : 1];
    const RoiPoints points = points_of(axis, at);
    if (point == 0) bins[bin].points = points;
    if (point < points.count) bins[bin].taps[point] = Tap::of(axis, at, points.first + point);
  }
  __syncthreads();
  const bool usable = axes[0].points > 0 && axes[1].points > 0;
  const float share = usable ? static_cast<float>(1 / (axes[0].points * axes[1].points)) : 0.0f;
  const T* const map = x + (usable ? static_cast<i64>(roi[0]) : 0) * d.H * d.W * d.C;
  T* const out = y + (i64{blockIdx.x} * d.height + first) * d.width * d.C;
  const u32 items = static_cast<u32>(rows * d.width * static_cast<int>(d.C / kWidth));
  for (u32 item = threadIdx.x; item < items; item += kMostThreads) {
    const u32 bin = item / pieces, c = item % pieces * kWidth;
    const int i = static_cast<int>(bin / width), j = static_cast<int>(bin % width);
    const Bin &row = bins[i], &column = bins[most + j];
    auto sum = Channels<kWidth>::zero();
    for (int a = 0; a < row.points.count; ++a) {
      const Tap v = row.tap<kAll>(axes[0], first + i, a);
      const T *const above = map + i64{v.low} * d.W * d.C + c, *const below = map + i64{v.high} * d.W * d.C + c;
#pragma unroll 2
      for (int b = 0; b < column.points.count; ++b) {
        const Tap u = column.tap<kAll>(axes[1], j, b);
        const auto top_left = Channels<kWidth>::load(above + u.low * d.C),
                   top_right = Channels<kWidth>::load(above + u.high * d.C),
                   bottom_left = Channels<kWidth>::load(below + u.low * d.C),
                   bottom_right = Channels<kWidth>::load(below + u.high * d.C);
        sum.add(v.near * u.near, top_left);
        sum.add(v.near * u.far, top_right);
        sum.add(v.far * u.near, bottom_left);
        sum.add(v.far * u.far, bottom_right);
      }
    }
    for (float& value : sum.value) value *= share;
    sum.store(out + i64{item} * kWidth);
  }
}

constexpr int kSide = 8;                            // pixels of a tile's side
constexpr int kThreads = kSide * kWarp, kRois = 8;  // rois whose weights are in shared memory together, at most

// Of one roi on one tile: its axes, and the bins that reach the tile.
struct RoiOnTile {
  RoiAxis axis[2];
  int first[2], end[2];
};

// The tile of a block: its first row and column, and its image.
struct Tile {
  int top, left;
  i64 image;

  __device__ explicit Tile(const Dims& d) {
    const int across = (d.W + kSide - 1) / kSide, down = (d.H + kSide - 1) / kSide;
    left = static_cast<int>(blockIdx.x) % across * kSide;
    top = static_cast<int>(blockIdx.x) / across % down * kSide;
    image = blockIdx.x / (across * down);
  }
  __device__ int first(int axis) const { return axis ? left : top; }
  __device__ void reach(const RoiAxis& axis, int which, int* begin, int* end) const {
    bins_between(axis, first(which) - 1, first(which) + kSide, begin, end);
  }
  __device__ bool touches(const Dims& d, const float* roi) const {
    for (int axis = 0; axis < 2; ++axis) {
      int begin = 0, end = 0;
      reach(axis_of(d, roi, axis), axis, &begin, &end);
      if (begin >= end || static_cast<i64>(roi[0]) != image) return false;
    }
    return true;
  }
};

// The weights of `count` rois, of each [height, kSide] of its bins on the rows, then [width, kSide] on the columns.
__device__ void find_weights(const Dims& d, const Tile& tile, const RoiOnTile* rois, int count, float* weights) {
  const int bins = d.height + d.width;
  for (int k = threadIdx.x; k < count * bins * kSide; k += kThreads) {
    const int bin = k / kSide % bins;
    const bool column = bin >= d.height;
    const RoiAxis& axis = rois[k / kSide / bins].axis[column];
    const int at = tile.first(column) + k % kSide;
    weights[k] = at < axis.size ? weight_of(axis, column ? bin - d.height : bin, at) : 0.0f;
  }
}

// sum += a roi's bins on the warp's row of the tile. `gy`: of the roi, from channel c on.
template <class T, int kWidth>
__device__ void add_roi(const Dims& d, const RoiOnTile& roi, const float* weights, const T* gy,
                        Channels<kWidth> (&sum)[kSide]) {
  const float* const columns = weights + d.height * kSide;
  for (int i = roi.first[0]; i < roi.end[0]; ++i) {
    const float row = weights[i * kSide + warp()];
    if (row == 0) continue;
    for (int j = roi.first[1]; j < roi.end[1]; ++j) {
      const auto g = Channels<kWidth>::load(gy + (i64{i} * d.width + j) * d.C);
#pragma unroll
      for (int pixel = 0; pixel < kSide; ++pixel) {
        const float weight = row * columns[j * kSide + pixel];
        if (weight != 0) sum[pixel].add(weight, g);  // a NaN stays with the pixels that see it
      }
    }
  }
}

// Dynamic shared memory: for each of `batch` rois [kSide, height + width], the bins' weights on the tile's rows and
// columns.
template <class T, int kWidth>
__global__ void roi_align_backward_kernel(Dims d, int batch, const T* gy, const float* rois, T* gx) {
  struct Shared {
    i32 list[kThreads];  // rois that touch the tile
    RoiOnTile roi[kRois];
  };
  Shared& shared = shared_memory<Shared>();
  float* const weights = dynamic_shared<float>();
  const Tile tile(d);
  const int thread = threadIdx.x, v = tile.top + warp(), bins = d.height + d.width;
  const i64 c = (blockIdx.y * kWarp + lane()) * i64{kWidth};

  Channels<kWidth> sum[kSide];
  for (auto& pixel : sum) pixel = Channels<kWidth>::zero();
  for (i64 base = 0; base < d.rois; base += kThreads) {
    const bool touches = base + thread < d.rois && tile.touches(d, rois + (base + thread) * 5);
    int count = 0;
    const int place = block_exclusive_scan(touches, count);
    if (touches) shared.list[place] = static_cast<i32>(base + thread);
    __syncthreads();

    for (int some = 0; some < count; some += batch) {
      const int now = count - some < batch ? count - some : batch;
      if (thread < 2 * now) {
        RoiOnTile& roi = shared.roi[thread / 2];
        const int which = thread % 2;
        roi.axis[which] = axis_of(d, rois + i64{5} * shared.list[some + thread / 2], which);
        tile.reach(roi.axis[which], which, &roi.first[which], &roi.end[which]);
      }
      __syncthreads();
      find_weights(d, tile, shared.roi, now, weights);
      __syncthreads();
      for (int r = 0; r < now && c < d.C; ++r)
        add_roi<T, kWidth>(d, shared.roi[r], weights + r * bins * kSide,
                           gy + shared.list[some + r] * i64{d.height} * d.width * d.C + c, sum);
      __syncthreads();
    }
  }
  if (v >= d.H || c >= d.C) return;
#pragma unroll
  for (int pixel = 0; pixel < kSide; ++pixel)
    if (tile.left + pixel < d.W) sum[pixel].store(gx + ((tile.image * d.H + v) * d.W + tile.left + pixel) * d.C + c);
}

void roi_align_cuda(const Tensor& x, const Tensor& rois, const ops::RoiAlignParams& params, Tensor& y) {
  const Dims d = dims_of(rois, params, x.shape());
  const i64 most_bins = kSharedBytes / static_cast<i64>(sizeof(Bin));
  TESSERA_CHECK(d.width < most_bins, "roi_align: {} x {} bins are too wide for {}: at most {}", d.height, d.width,
                x.device(), most_bins - 1);
  dispatch_storage(x, [&]<class T>() {
    const T* in = x.device_data<T>();
    T* out = y.device_data<T>();
    dispatch_pieces<T>(d.C, {in, out}, [&]<int kWidth>() {
      constexpr i64 kItems = 2048;  // of a block, so that finding the points is a small part of its work
      const i64 of_row = std::max<i64>(1, d.width * (d.C / kWidth));
      const i64 most = std::clamp<i64>(ceil_div(kItems, of_row), 1, std::min<i64>(d.height, most_bins - d.width));
      const Launch shape{.grid = {static_cast<unsigned>(d.rois), static_cast<unsigned>(ceil_div(d.height, most))},
                         .block = kMostThreads,
                         .shared = static_cast<size_t>(most + d.width) * sizeof(Bin)};
      const auto run = [&]<bool kAll>() {
        launch<roi_align_kernel<T, kWidth, kAll>>(shape, d, static_cast<int>(most), Divider(d.width),
                                                  Divider(d.C / kWidth), in, rois.device_data<float>(), out);
      };
      if (params.sampling_ratio > 0 && params.sampling_ratio <= Bin::kKept) return run.template operator()<true>();
      run.template operator()<false>();
    });
  });
}

void roi_align_backward_cuda(const Tensor& gy, const Tensor& rois, const ops::RoiAlignParams& params, Tensor& gx) {
  const Dims d = dims_of(rois, params, gx.shape());
  const i64 roi_bytes = i64{4} * kSide * (d.height + d.width);
  TESSERA_CHECK(roi_bytes <= kSharedBytes,
                "roi_align_backward: {} x {} bins are too many for {}: their sum may be at most {}", d.height, d.width,
                gx.device(), kSharedBytes / 4 / kSide);
  const int batch = static_cast<int>(std::min<i64>(kRois, kSharedBytes / roi_bytes));
  const i64 tiles = ceil_div(d.H, kSide) * ceil_div(d.W, kSide) * d.images;
  dispatch_storage(gy, [&]<class T>() {
    const T* g = gy.device_data<T>();
    T* out = gx.device_data<T>();
    dispatch_width(by_four(d.C, g, out), [&]<int kWidth>() {  // more would leave few warps
      const Launch shape{.grid = {static_cast<unsigned>(tiles), static_cast<unsigned>(ceil_div(d.C, kWarp * kWidth))},
                         .block = kThreads,
                         .shared = static_cast<size_t>(batch * roi_bytes)};
      launch<roi_align_backward_kernel<T, kWidth>>(shape, d, batch, g, rois.device_data<float>(), out);
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::roi_align_kernels.add(kDevice, roi_align_cuda),
    ops::roi_align_backward_kernels.add(kDevice, roi_align_backward_cuda),
};

}  // namespace

}  // namespace tessera
