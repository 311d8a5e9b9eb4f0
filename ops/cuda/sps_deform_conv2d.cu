// Deformable index convolution in CUDA: as ops/cuda/deform_conv2d.cu, matrix products of sampled columns, a chunk of
// active rows at a time; the four corners of a sample come from the index map.
//
//   forward   y = columns w^T            columns [rows, 9, Fi], at most kColumnBytes
//   weight    gw += gy^T columns
//   the rest  gcolumns = gy w, then
//             offset     per sample four dot products of corners and gcolumns, summed over the lanes
//             features   the corners of the chunk's samples grouped by their ids (ops/cuda/group_by_key.h): each row of
//                        features sums its corners in order and adds the sum: chunk by chunk, a fixed order. A passive
//                        row gathers from all cells that it covers
//
// Forward on tensor cores, where the precision and the width allow it, there are no columns, as in deform_conv2d.cu.
// Columns have the features' element type; sums over chunks are f32. Lanes share the channels of a sample or of a row.
// An id in the map that is no row reads as the zero row.
#include <limits>

#include "ops/cuda/bilinear_sample.h"
#include "ops/cuda/channels.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/patch_product.h"
#include "ops/cuda/sps_features.h"
#include "ops/sps_deform_conv2d.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kPositions = ops::kSpsPositions;

// The active rows first, first + 1, ..., and what decides where they sample. Samples are counted from the chunk's
// first, [rows, positions].
template <class T>
struct Chunk {
  i64 first, count;
  SpsFeatures<T> features;
  u32 size;
  const i64 *map, *rows;
  const float* offset;

  __host__ __device__ i64 samples() const { return count * kPositions; }
  __device__ i64 cell(u32 i) const { return rows[first + i / kPositions]; }
  __device__ BilinearSample sample(u32 i) const {
    if (cell(i) < 0) return {};
    const u32 at = static_cast<u32>(cell(i));
    const float* const moved = offset + 2 * (first * kPositions + i);
    return bilinear_sample(static_cast<float>(at / size % size) + moved[1], static_cast<float>(at % size) + moved[0],
                           static_cast<int>(size), static_cast<int>(size));
  }
  // The id of corner k; -1 outside the grid.
  __device__ i64 id(u32 i, const BilinearSample& sample, int k) const {
    const int side = static_cast<int>(size);
    if (!sample.inside(k, side, side)) return -1;
    const u32 grid = static_cast<u32>(cell(i)) / (size * size);
    return map[i64{grid} * size * size + pixel_of(sample, k, side)];
  }
};

// All rows as one chunk.
template <class T>
Chunk<T> whole_call(const Tensor& index_map, const Tensor& rows, const Tensor& active, const Tensor& passive,
                    const Tensor& offset) {
  TESSERA_CHECK(index_map.numel() <= std::numeric_limits<i32>::max(),
                "sps_deform_conv2d: an index map {} is too large for {}", index_map.shape(), index_map.device());
  return {.first = 0,
          .count = rows.numel(),
          .features = {active, passive},
          .size = static_cast<u32>(index_map.dim(1)),
          .map = index_map.device_data<i64>(),
          .rows = rows.device_data<i64>(),
          .offset = offset.device_data<float>()};
}

// Calls visit(chunk) for one chunk after the other, a Chunk<T> for the features' element type T.
template <class Visit>
void each_chunk(const Tensor& index_map, const Tensor& rows, const Tensor& active, const Tensor& passive,
                const Tensor& offset, const Visit& visit) {
  const i64 most = std::max<i64>(1, kColumnBytes / (4 * kPositions * std::max<i64>(1, active.dim(1))));
  dispatch_storage(active, [&]<class T>() {
    Chunk<T> chunk = whole_call<T>(index_map, rows, active, passive, offset);
    for (; chunk.first < rows.numel(); chunk.first += chunk.count) {
      chunk.count = std::min(most, rows.numel() - chunk.first);
      visit(chunk);
    }
  });
}

template <class T>
Tensor columns_of(const Chunk<T>& chunk, Device device) {
  const Shape shape{chunk.count, kPositions * chunk.features.width};  // nvcc loses the braces of a dependent argument
  return Tensor::empty(shape, kDTypeOf<T>, device);
}

template <class T>
bool features_by_four(const SpsFeatures<T>& features) {
  return by_four(features.width, features.active, features.passive);
}

template <class T, int kWidth>
__global__ void columns_kernel(Chunk<T> chunk, RowLanes lanes, T* columns) {
  const u32 i = lanes.row();
  const i64 width = chunk.features.width;
  if (i >= lanes.rows) return;
  const BilinearSample sample = chunk.sample(i);
  const T* corners[4];
  for (int k = 0; k < 4; ++k) corners[k] = chunk.features.at(chunk.id(i, sample, k));
  for (i64 c = lanes.lane() * kWidth; c < width; c += lanes.count * kWidth) {
    auto sum = Channels<kWidth>::zero();
    for (int k = 0; k < 4; ++k)
      if (corners[k]) sum.add(sample.weight(k), Channels<kWidth>::load(corners[k] + c));
    sum.store(columns + i * width + c);
  }
}

template <class T>
void sample_columns(const Chunk<T>& chunk, Tensor& columns) {
  dispatch_width(features_by_four(chunk.features), [&]<int kWidth>() {
    const RowLanes lanes(chunk.samples(), ceil_div(chunk.features.width, kWidth));
    launch<columns_kernel<T, kWidth>>(lanes.launch(), chunk, lanes, columns.device_data<T>());
  });
}

template <class T, int kWidth>
__global__ void backward_samples_kernel(Chunk<T> chunk, RowLanes lanes, const T* gcolumns, float* goffset) {
  const u32 i = lanes.row();
  const i64 width = chunk.features.width;
  const bool mine = i < lanes.rows;  // all lanes stay for the sums
  const BilinearSample sample = mine ? chunk.sample(i) : BilinearSample{};
  const T* corners[4];
  for (int k = 0; k < 4; ++k) corners[k] = mine ? chunk.features.at(chunk.id(i, sample, k)) : nullptr;
  float dots[4] = {};  // of each corner's features with the gradient
  for (i64 c = lanes.lane() * kWidth; c < width && sample.any(); c += lanes.count * kWidth) {
    const auto g = Channels<kWidth>::load(gcolumns + i * width + c);
    for (int k = 0; k < 4; ++k)
      if (corners[k]) dots[k] += g.dot(Channels<kWidth>::load(corners[k] + c));
  }
  for (float& dot : dots) dot = lanes.sum(dot);
  if (!mine || lanes.lane() != 0) return;
  float* const out = goffset + 2 * (chunk.first * kPositions + i);
  out[0] = sample.slope_right(dots);
  out[1] = sample.slope_down(dots);
}

// Item 4 i + k is corner k of sample i. weights: what it adds of gcolumns.
template <class T>
__global__ void ids_kernel(Chunk<T> chunk, i32* keys, float* weights) {
  for (const i64 i : indices(chunk.samples())) {
    const BilinearSample sample = chunk.sample(static_cast<u32>(i));
    for (int k = 0; k < 4; ++k) {
      const i64 id = chunk.id(static_cast<u32>(i), sample, k), rows = chunk.features.rows;
      keys[4 * i + k] = static_cast<i32>(id >= 0 && id < rows ? id : rows);
      weights[4 * i + k] = sample.weight(k);
    }
  }
}

// A row of lanes is a row of features. gactive and gpassive +=
template <class T, int kWidth>
__global__ void backward_features_kernel(Chunk<T> chunk, RowLanes lanes, GroupsView by_id, const float* weights,
                                         const T* gcolumns, float* gactive, float* gpassive) {
  const u32 id = lanes.row();
  const i64 width = chunk.features.width, active = chunk.features.active_rows;
  if (id >= lanes.rows) return;
  const i32 begin = by_id.first[id], end = by_id.first[id + 1];
  if (begin == end) return;
  float* const out = id < active ? gactive + id * width : gpassive + (id - active) * width;
  for (i64 c = lanes.lane() * kWidth; c < width; c += lanes.count * kWidth) {
    auto sum = Channels<kWidth>::load(out + c);
    for (i32 at = begin; at < end; ++at) {
      const i64 corner = by_id.items[at];
      sum.add(weights[corner], Channels<kWidth>::load(gcolumns + corner / 4 * width + c));
    }
    sum.store(out + c);
  }
}

// A sample as the tile's threads read it, from shared memory.
struct PlacedSample {
  i32 id[4];  // of the corners, -1 outside the grid
  float down, right;
};

template <class Tile, class T>
__global__ void sps_deform_conv2d_tensor_kernel(PatchDims d, Chunk<T> all, const T* weight, const T* bias, T* y) {
  const int first_row = static_cast<int>(blockIdx.x) * Tile::kRows;
  auto* const samples = reinterpret_cast<PlacedSample*>(dynamic_shared<std::byte>() + Tile::kShared);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kRows * kPositions; i += Tile::kThreads) {
    const int row = std::min(first_row + i / kPositions, d.rows - 1);
    const u32 number = static_cast<u32>(row * kPositions + i % kPositions);
    const BilinearSample sample = all.sample(number);
    for (int k = 0; k < 4; ++k) samples[i].id[k] = static_cast<i32>(all.id(number, sample, k));
    samples[i].down = sample.down;
    samples[i].right = sample.right;
  }
  __syncthreads();
  const auto sampled = [&](int row, int t, int i) {
    const PlacedSample& at = samples[(row - first_row) * kPositions + t];
    const BilinearSample sample{.top = 0, .left = 0, .down = at.down, .right = at.right};
    auto sum = Channels<Tile::kPiece>::zero();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const T* const corner = all.features.at(at.id[k], i);
      if (corner) sum.add(sample.weight(k), Channels<Tile::kPiece>::load(corner));
    }
    return sum;
  };
  patch_product<Tile, MadeRows>(d, weight, sampled, [&](int row, int o, float sum) {
    store(y + (row * d.columns + o), sum + (bias ? load(bias + o) : 0.0f));
  });
}

// Whether it was one for tensor cores.
bool sps_deform_conv2d_on_tensor_cores(const Tensor& index_map, const Tensor& rows, const Tensor& active,
                                       const Tensor& passive, const Tensor& offset, const Tensor& weight,
                                       const Tensor& bias, Tensor& y) {
  bool taken = false;
  dispatch_storage(active, [&]<class T>() {
    const Chunk<T> all = whole_call<T>(index_map, rows, active, passive, offset);
    const SpsFeatures<T>& features = all.features;
    const T* w = weight.device_data<T>();
    taken = on_tensor_cores<T>(features.width, std::max({features.values(), y.numel(), offset.numel()}),
                               features.active, features.passive, w);
    if (!taken) return;
    const PatchDims d{static_cast<int>(y.dim(0)), static_cast<int>(y.dim(1)), kPositions,
                      static_cast<int>(features.width)};
    dispatch_tile<T>(d.columns, [&]<class Tile>() {
      Launch shape = Tile::launch_of(d.rows, d.columns);
      shape.shared += Tile::kRows * kPositions * sizeof(PlacedSample);
      launch<sps_deform_conv2d_tensor_kernel<Tile, T>>(shape, d, all, w, data_or_null<T>(bias), y.device_data<T>());
    });
  });
  return taken;
}

void sps_deform_conv2d_cuda(const Tensor& index_map, const Tensor& rows, const Tensor& active, const Tensor& passive,
                            const Tensor& offset, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const i64 Fo = y.dim(1), depth = kPositions * active.dim(1);
  if (sps_deform_conv2d_on_tensor_cores(index_map, rows, active, passive, offset, weight, bias, y)) return;
  each_chunk(index_map, rows, active, passive, offset, [&]<class T>(const Chunk<T>& chunk) {
    Tensor columns = columns_of(chunk, y.device());
    sample_columns(chunk, columns);
    gemm(Gemm<T>{.M = chunk.count,
                 .N = Fo,
                 .K = depth,
                 .a = columns.device_data<T>(),
                 .a_pitch = depth,
                 .b = weight.device_data<T>(),
                 .b_pitch = depth,
                 .transpose_b = true,
                 .c = y.device_data<T>() + chunk.first * Fo,
                 .c_pitch = Fo,
                 .bias = data_or_null<T>(bias)});
  });
}

void sps_deform_conv2d_backward_features_cuda(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                              const Tensor& active, const Tensor& passive, const Tensor& offset,
                                              const Tensor& weight, Tensor& goffset, Tensor& gpassive,
                                              Tensor& gactive) {
  const i64 Fo = gy.dim(1), depth = kPositions * active.dim(1);
  Tensor active_sums = f32_sums(gactive), passive_sums = f32_sums(gpassive);
  each_chunk(index_map, rows, active, passive, offset, [&]<class T>(const Chunk<T>& chunk) {
    Tensor gcolumns = columns_of(chunk, gy.device());
    gemm(Gemm<T>{.M = chunk.count,
                 .N = depth,
                 .K = Fo,
                 .a = gy.device_data<T>() + chunk.first * Fo,
                 .a_pitch = Fo,
                 .b = weight.device_data<T>(),
                 .b_pitch = depth,
                 .c = gcolumns.device_data<T>(),
                 .c_pitch = depth});
    check_keys("sps_deform_conv2d_backward_features", 4 * chunk.samples(), chunk.features.rows);
    const Shape corners{4 * chunk.samples()};
    Tensor keys = Tensor::empty(corners, DType::kI32, gy.device());
    Tensor weights = Tensor::empty(corners, DType::kF32, gy.device());
    launch<ids_kernel<T>>(over(chunk.samples()), chunk, keys.device_data<i32>(), weights.device_data<float>());
    const Groups by_id = group_by_key(std::move(keys), chunk.features.rows);
    dispatch_width(features_by_four(chunk.features), [&]<int kWidth>() {
      const T* g = gcolumns.device_data<T>();
      const i64 pieces = ceil_div(chunk.features.width, kWidth);
      const RowLanes of_samples(chunk.samples(), pieces, kWarp), of_rows(chunk.features.rows, pieces);
      launch<backward_samples_kernel<T, kWidth>>(of_samples.launch(), chunk, of_samples, g,
                                                 goffset.device_data<float>());
      launch<backward_features_kernel<T, kWidth>>(of_rows.launch(), chunk, of_rows, GroupsView(by_id),
                                                  weights.device_data<float>(), g, active_sums.device_data<float>(),
                                                  passive_sums.device_data<float>());
    });
  });
  store_sums(active_sums, gactive);
  store_sums(passive_sums, gpassive);
}

void sps_deform_conv2d_backward_weight_cuda(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                            const Tensor& active, const Tensor& passive, const Tensor& offset,
                                            Tensor& gw) {
  const i64 Fo = gy.dim(1), depth = kPositions * active.dim(1);
  if (rows.numel() == 0) return gw.fill(0);
  Tensor sums = f32_sums(gw);
  each_chunk(index_map, rows, active, passive, offset, [&]<class T>(const Chunk<T>& chunk) {
    Tensor columns = columns_of(chunk, gy.device());
    sample_columns(chunk, columns);
    gemm(Gemm<T, float>{.M = Fo,
                        .N = depth,
                        .K = chunk.count,
                        .a = gy.device_data<T>() + chunk.first * Fo,
                        .a_pitch = Fo,
                        .transpose_a = true,
                        .b = columns.device_data<T>(),
                        .b_pitch = depth,
                        .c = sums.device_data<float>(),
                        .c_pitch = depth,
                        .accumulate = chunk.first > 0});
  });
  store_sums(sums, gw);
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sps_deform_conv2d_kernels.add(kDevice, sps_deform_conv2d_cuda),
    ops::sps_deform_conv2d_backward_features_kernels.add(kDevice, sps_deform_conv2d_backward_features_cuda),
    ops::sps_deform_conv2d_backward_weight_kernels.add(kDevice, sps_deform_conv2d_backward_weight_cuda),
};

}  // namespace

}  // namespace tessera
