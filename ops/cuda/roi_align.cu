// RoIAlign in CUDA; ops/roi_align.h states the formula, ops/scalar/roi_align.h has its axes.
//
//   forward    the mean of a bin's points is a sum over the pixels between which they lie, and rows and columns have
//              weights of their own:  y[i, j] = sum over v and u of weight(i, v) weight(j, u) x[v, u].  A block has
//              some rows and columns of a roi's bins and finds their weights once, in f64, and keeps them in f32 in
//              shared memory. Neighbouring threads have neighbouring channels. A pixel is read once for all points of a
//              bin that see it: 9 reads per value where 2 x 2 points lie a pixel apart. They come from the cache
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

constexpr i64 kSharedBytes = 96 * 1024;  // of a block, whatever it keeps there

// The pixels along one axis that a bin's points lie between: first, first + 1, ...
struct Pixels {
  int first, count;

  __device__ static Pixels of(const RoiAxis& axis, int bin) {
    const RoiPoints points = points_of(axis, bin);
    if (points.count == 0) return {0, 0};
    const RoiPixels a = axis.pixels(axis.place(bin, points.first)),
                    b = axis.pixels(axis.place(bin, points.first + static_cast<double>(points.count - 1)));
    const i64 low = smaller(a.low, b.low), high = larger(a.low + (a.fraction > 0), b.low + (b.fraction > 0));
    return {static_cast<int>(low), static_cast<int>(high - low + 1)};
  }
};

// A bin's pixels and what they weigh: kept of the first kKept of them, with zeros beyond the last, and found where they
// are needed of the others.
struct Bin {
  static constexpr int kKept = 28;
  float weights[kKept];
  Pixels pixels;

  template <bool kAllKept>
  __device__ float weight(const RoiAxis& axis, int bin, int k) const {
    return kAllKept || k < kKept ? weights[k] : weight_of(axis, bin, pixels.first + k);
  }
};

// blockIdx: the roi; which `most_rows` of its rows of bins; which `most_columns` of its columns. pieces: kWidth
// channels of a bin each.
template <class T, int kWidth>
__global__ void roi_align_kernel(Dims d, int most_rows, Divider most_columns, Divider pieces, const T* __restrict__ x,
                                 const float* __restrict__ rois, T* __restrict__ y) {
  struct Shared {
    RoiAxis axis[2];
  };
  auto& [axes] = shared_memory<Shared>();
  Bin* const bins = dynamic_shared<Bin>();  // rows, then columns
  const float* const roi = rois + i64{blockIdx.x} * 5;
  if (threadIdx.x < 2) axes[threadIdx.x] = axis_of(d, roi, static_cast<int>(threadIdx.x));
  __syncthreads();
  const int first_row = static_cast<int>(blockIdx.y) * most_rows,
            first_column = static_cast<int>(blockIdx.z) * static_cast<int>(most_columns),
            rows = smaller(most_rows, d.height - first_row),
            columns = smaller(static_cast<int>(most_columns), d.width - first_column);
  for (int i = static_cast<int>(threadIdx.x); i < (rows + columns) * Bin::kKept; i += kMostThreads) {
    const int bin = i / Bin::kKept, k = i % Bin::kKept;
    const int at = bin < rows ? first_row + bin : first_column + bin - rows;
    const RoiAxis& axis = axes[bin < rows ? 0 : 1];
    const Pixels pixels = Pixels::of(axis, at);
    bins[bin].weights[k] = k < pixels.count ? weight_of(axis, at, pixels.first + k) : 0.0f;
    if (k == 0) bins[bin].pixels = pixels;
  }
  __syncthreads();
  const bool usable = axes[0].points > 0 && axes[1].points > 0;
  const i64 C = d.C;
  const T* const map = x + (usable ? static_cast<i64>(roi[0]) : 0) * d.H * d.W * C;
  const u32 items = static_cast<u32>(rows) * most_columns * static_cast<u32>(C / kWidth);
  for (u32 item = threadIdx.x; item < items; item += kMostThreads) {
    const u32 bin = item / pieces, c = item % pieces * kWidth;
    const int i = static_cast<int>(bin / most_columns), j = static_cast<int>(bin % most_columns);
    if (j >= columns) continue;
    const Bin &row = bins[i], &column = bins[rows + j];
    auto sum = Channels<kWidth>::zero();
    const auto add = [&]<bool kAllKept, int kTogether>() {
      for (int v = 0; v < row.pixels.count; ++v) {
        const float row_weight = row.weight<kAllKept>(axes[0], first_row + i, v);
        const T* at = map + (i64{row.pixels.first + v} * d.W + column.pixels.first) * C + c;
        for (int u = 0; u < column.pixels.count; u += kTogether, at += kTogether * C) {
          float weights[kTogether];
          Channels<kWidth> pixels[kTogether];
          for (int k = 0; k < kTogether; ++k) {
            weights[k] = row_weight * column.weight<kAllKept>(axes[1], first_column + j, u + k);
            pixels[k] = Channels<kWidth>::load_if(weights[k] != 0, at + k * C);
          }
          for (int k = 0; k < kTogether; ++k) sum.add(weights[k], pixels[k]);
        }
      }
    };
    if (row.pixels.count <= Bin::kKept && column.pixels.count <= Bin::kKept)
      add.template operator()<true, 4>();
    else
      add.template operator()<false, 1>();
    sum.store(y + ((i64{blockIdx.x} * d.height + first_row + i) * d.width + first_column + j) * C + c);
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
  dispatch_storage(x, [&]<class T>() {
    const T* in = x.device_data<T>();
    T* out = y.device_data<T>();
    dispatch_pieces<T>(d.C, {in, out}, [&]<int kWidth>() {
      // of a block: items, so that finding the weights is a small part of its work, and bins
      constexpr i64 kItems = 2048, kMostBins = 256;
      const i64 columns = std::min<i64>(d.width, kMostBins), of_row = std::max<i64>(1, columns * (d.C / kWidth));
      const i64 rows = std::min<i64>({d.height, kMostBins, ceil_div(kItems, of_row)});
      const Launch shape{.grid = {static_cast<unsigned>(d.rois), static_cast<unsigned>(ceil_div(d.height, rows)),
                                  static_cast<unsigned>(ceil_div(d.width, columns))},
                         .block = kMostThreads,
                         .shared = static_cast<size_t>(rows + columns) * sizeof(Bin)};
      launch<roi_align_kernel<T, kWidth>>(shape, d, static_cast<int>(rows), Divider(columns), Divider(d.C / kWidth), in,
                                          rois.device_data<float>(), out);
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
