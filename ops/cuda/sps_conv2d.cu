// Index convolution in CUDA: implicit matrix products (ops/cuda/tile_product.h) whose tiles read the rows of features
// through the ids of the kernel positions; the patches [N_A, 9 Fi] never exist.
//
//   y [N_A, Fo] = patches(A, P) [N_A, 9 x Fi] w^T     (+ bias, ReLU)     position by position, 16 features at a time
//
// On tensor cores (ops/cuda/patch_product.h) where the precision and the features' width allow it. Bounded by the
// multiply-adds, there by reading the gathered rows from the L2 cache. The gradients are in sps_conv2d_gradient.cu. An
// id that is no row reads as the zero row.
#include "ops/cuda/patch_product.h"
#include "ops/cuda/sps_features.h"
#include "ops/cuda/tile_product.h"
#include "ops/sps_conv2d.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kPositions = ops::kSpsPositions;

// One thread per id. Of a map that no structure made, what is no row, or an active row's id at another cell than its
// own, becomes the zero row.
__global__ void neighbours_kernel(i64 active, i64 passive, i64 size, i64 dilation, const i64* map, const i64* rows,
                                  i32* ids) {
  for (const i64 i : indices(active * kPositions)) {
    const i64 row = rows[i / kPositions], t = i % kPositions, total = active + passive;
    const i64 x = row % size + (t % 3 - 1) * dilation, y = row / size % size + (t / 3 - 1) * dilation;
    i64 id = total;
    if (row >= 0 && x >= 0 && x < size && y >= 0 && y < size) {
      const i64 cell = (row / size / size * size + y) * size + x, held = map[cell];
      const bool is_row = held >= 0 && held < total;
      if (is_row && (held >= active || rows[held] == cell)) id = held;
    }
    ids[i] = static_cast<i32>(id);
  }
}

void sps_neighbours_cuda(const Tensor& index_map, const Tensor& rows, i64 passive, i64 dilation, Tensor& ids) {
  launch<neighbours_kernel>(over(ids.numel()), rows.numel(), passive, index_map.dim(1), dilation,
                            index_map.device_data<i64>(), rows.device_data<i64>(), ids.device_data<i32>());
}

template <class T, int kWidth>
__global__ void sps_conv2d_kernel(SpsFeatures<T> features, i64 Fo, const i32* ids, const T* weight, const T* bias,
                                  bool relu, T* y) {
  const i64 Fi = features.width, N = features.active_rows,
            per_position = (Fi + TileProduct::kDepth - 1) / TileProduct::kDepth;
  const i64 first_row = i64{blockIdx.x} * TileProduct::kRows, first_column = i64{blockIdx.y} * TileProduct::kColumns;
  const auto gathered = [&](i64 step, int index, int k, auto& values) {
    const i64 row = first_row + index, position = step / per_position;
    const T* const from = row < N ? features.at(ids[row * kPositions + position]) : nullptr;
    TileProduct::read<kWidth>(from, step % per_position * TileProduct::kDepth + k, Fi, values);
  };
  const auto weights = [&](i64 step, int index, int k, auto& values) {
    const i64 o = first_column + index, position = step / per_position;
    const T* const from = o < Fo ? weight + (o * kPositions + position) * Fi : nullptr;
    TileProduct::read<kWidth>(from, step % per_position * TileProduct::kDepth + k, Fi, values);
  };
  TileProduct product;
  product.run(kPositions * per_position, rows_along_depth(gathered), columns_along_depth(weights));
  for (int i = 0; i < TileProduct::kThreadRows; ++i)
    for (int j = 0; j < TileProduct::kThreadColumns; ++j) {
      const i64 row = first_row + product.first_row() + i, o = first_column + product.first_column() + j;
      if (row >= N || o >= Fo) continue;
      const float value = product.sum[i][j] + (bias ? load(bias + o) : 0.0f);
      store(y + row * Fo + o, relu && value < 0 ? 0.0f : value);  // NaN passes
    }
}

// The same on tensor cores.
template <class Tile, class T>
__global__ void sps_conv2d_tensor_kernel(PatchDims d, SpsFeatures<T> features, const i32* ids, const T* weight,
                                         const T* bias, bool relu, T* y) {
  const auto gathered = [&](int row, int t, int i) { return features.at(ids[row * kPositions + t], i); };
  patch_product<Tile, CopiedRows>(d, weight, gathered, [&](int row, int o, float sum) {
    const float value = sum + (bias ? load(bias + o) : 0.0f);
    store(y + (row * d.columns + o), relu && value < 0 ? 0.0f : value);  // NaN passes
  });
}

void sps_conv2d_cuda(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight,
                     const Tensor& bias, ops::Activation activation, Tensor& y) {
  const i64 Fo = y.dim(1);
  const Launch shape{.grid = {static_cast<unsigned>(ceil_div(y.dim(0), TileProduct::kRows)),
                              static_cast<unsigned>(ceil_div(Fo, TileProduct::kColumns))},
                     .block = TileProduct::kThreads};
  dispatch_storage(active, [&]<class T>() {
    const SpsFeatures<T> features(active, passive);
    const T* w = weight.device_data<T>();
    const bool relu = activation == ops::Activation::kRelu;
    if (on_tensor_cores<T>(features.width, std::max(features.values(), y.numel()), features.active, features.passive,
                           w)) {
      const PatchDims d{static_cast<int>(y.dim(0)), static_cast<int>(Fo), kPositions, static_cast<int>(features.width)};
      return dispatch_tile<T>(Fo, [&]<class Tile>() {
        launch<sps_conv2d_tensor_kernel<Tile, T>>(Tile::launch_of(d.rows, d.columns), d, features,
                                                  ids.device_data<i32>(), w, data_or_null<T>(bias), relu,
                                                  y.device_data<T>());
      });
    }
    dispatch_width(by_four(features.width, features.active, features.passive, w), [&]<int kWidth>() {
      launch<sps_conv2d_kernel<T, kWidth>>(shape, features, Fo, ids.device_data<i32>(), w, data_or_null<T>(bias), relu,
                                           y.device_data<T>());
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sps_neighbours_kernels.add(kDevice, sps_neighbours_cuda),
    ops::sps_conv2d_kernels.add(kDevice, sps_conv2d_cuda),
};

}  // namespace

}  // namespace tessera
