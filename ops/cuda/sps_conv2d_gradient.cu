// The gradients of an index convolution in CUDA, implicit matrix products (ops/cuda/tile_product.h). Of the features:
// each row gathers from its readers, one kernel position after the other, K = 9 x Fo. Of the weight: a block has one
// position, K = N_A cut into parts so that there are blocks enough, which are summed in order. On tensor cores
// (ops/cuda/tensor_tile.h) where the precision and the widths allow it; for the features the weight is turned to
// [Fi, 9, Fo] first.
//
//   gA[a] = sum over t of gy[reader of a at t] w[t]         the reader at position t is a's neighbour at 8 - t
//   gP[p] = sum over t of (sum over the readers of p at t of gy[reader]) w[t]
//   gw [Fo, 9 x Fi] = gy^T patches(A, P)
//
// Who reads a passive row at a position is found by grouping the ids (ops/cuda/group_by_key.h); a tile sums those rows
// of gy while it reads them, in ascending order. Only the passive rows that are read at all are computed: they are
// numbered by a scan, and blocks beyond the last return at once. Bounded by the multiply-adds.
#include "ops/arrange.h"
#include "ops/cuda/group_by_key.h"
#include "ops/cuda/patch_gradient.h"
#include "ops/cuda/scan.h"
#include "ops/cuda/sps_features.h"
#include "ops/cuda/tile_product.h"
#include "ops/sps_conv2d.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kPositions = ops::kSpsPositions;

// g [rows, Fi] = sum over t and o of gradient(row, t)[o] w[o, t, i]. Sources: sources(row, t, begin, values) reads
// values begin, begin + 1, ... of what the row gets at kernel position t; target(row): where the row's sum goes.
template <int kWidth, class T, class Sources, class Target>
__device__ void gradient_tile(i64 rows, i64 Fi, i64 Fo, const T* weight, const Sources& sources, const Target& target) {
  const i64 per_position = (Fo + TileProduct::kDepth - 1) / TileProduct::kDepth;
  const i64 first_row = i64{blockIdx.x} * TileProduct::kRows, first_column = i64{blockIdx.y} * TileProduct::kColumns;
  const auto gradients = [&](i64 step, int index, int k, auto& values) {
    const i64 row = first_row + index;
    if (row < rows) return sources(row, step / per_position, step % per_position * TileProduct::kDepth + k, values);
    TileProduct::zero(values);
  };
  const auto weights = [&](i64 step, int k, int index, auto& values) {
    const i64 o = step % per_position * TileProduct::kDepth + k, position = step / per_position;
    const T* const from = o < Fo ? weight + (o * kPositions + position) * Fi : nullptr;
    TileProduct::read<kWidth>(from, first_column + index, Fi, values);
  };
  TileProduct product;
  product.run(kPositions * per_position, rows_along_depth(gradients), columns_along_span(weights));
  for (int r = 0; r < TileProduct::kThreadRows; ++r)
    for (int j = 0; j < TileProduct::kThreadColumns; ++j) {
      const i64 row = first_row + product.first_row() + r, i = first_column + product.first_column() + j;
      if (row < rows && i < Fi) store(target(row) + i, product.sum[r][j]);
    }
}

template <class T, int kWidth>
__global__ void active_gradient_kernel(i64 active, i64 Fi, i64 Fo, const i32* ids, const T* gy, const T* weight,
                                       T* gactive) {
  const auto neighbour = [&](i64 row, i64 position, i64 begin, auto& values) {
    const i64 reader = ids[row * kPositions + kPositions - 1 - position];
    TileProduct::read<kWidth>(reader >= 0 && reader < active ? gy + reader * Fo : nullptr, begin, Fo, values);
  };
  gradient_tile<kWidth>(active, Fi, Fo, weight, neighbour, [&](i64 row) { return gactive + row * Fi; });
}

// read: the passive rows that are read, *count of them.
template <class T, int kWidth>
__global__ void passive_gradient_kernel(i64 Fi, i64 Fo, GroupsView readers, const i32* read, const i32* count,
                                        const T* gy, const T* weight, T* gpassive) {
  if (i64{blockIdx.x} * TileProduct::kRows >= *count) return;
  const auto sum_of_readers = [&](i64 row, i64 position, i64 begin, auto& values) {
    TileProduct::zero(values);
    const i64 group = i64{read[row]} * kPositions + position;
    for (i32 i = readers.first[group]; i < readers.first[group + 1]; ++i) {
      std::remove_reference_t<decltype(values)> more;
      TileProduct::read<kWidth>(gy + readers.items[i] / kPositions * Fo, begin, Fo, more);
      for (int v = 0; v < static_cast<int>(std::size(more)); ++v) values[v] += more[v];
    }
  };
  gradient_tile<kWidth>(*count, Fi, Fo, weight, sum_of_readers, [&](i64 row) { return gpassive + read[row] * Fi; });
}

// The two on tensor cores. turned: the weight as [Fi, 9, Fo].
template <class Tile, class T>
__global__ void active_gradient_tensor_kernel(PatchDims d, const i32* ids, const T* gy, const T* turned, T* gactive) {
  const auto neighbour = [&](int row, int t, int o) {
    const int reader = ids[row * kPositions + kPositions - 1 - t];
    return static_cast<u32>(reader) < static_cast<u32>(d.rows) ? gy + (reader * d.width + o) : nullptr;
  };
  patch_product<Tile, CopiedRows>(d, turned, neighbour,
                                  [&](int row, int i, float sum) { store(gactive + (row * d.columns + i), sum); });
}

template <class Tile, class T>
__global__ void passive_gradient_tensor_kernel(PatchDims d, GroupsView readers, const i32* read, const i32* count,
                                               const T* gy, const T* turned, T* gpassive) {
  d.rows = *count;
  if (static_cast<int>(blockIdx.x) * Tile::kRows >= d.rows) return;
  const auto sum_of_readers = [&](int row, int t, int o) {
    auto sum = Channels<Tile::kPiece>::zero();
    const int group = read[row] * kPositions + t;
    for (i32 i = readers.first[group]; i < readers.first[group + 1]; ++i)
      sum.add(1, Channels<Tile::kPiece>::load(gy + (readers.items[i] / kPositions * d.width + o)));
    return sum;
  };
  patch_product<Tile, MadeRows>(d, turned, sum_of_readers,
                                [&](int row, int i, float sum) { store(gpassive + (read[row] * d.columns + i), sum); });
}

// Item 9 a + t is of passive row p where a sees p at position t: group 9 p + t.
__global__ void readers_kernel(i64 active, i64 passive, const i32* ids, i32* keys) {
  for (const i64 i : indices(active * kPositions)) {
    const i64 p = ids[i] - active;
    keys[i] = static_cast<i32>((p >= 0 && p < passive ? p * kPositions + i % kPositions : passive * kPositions));
  }
}

__global__ void is_read_kernel(i64 passive, const i32* first, i32* is_read) {
  for (const i64 p : indices(passive + 1))
    is_read[p] = p < passive && first[p * kPositions] < first[(p + 1) * kPositions];
}

// place: the scan of is_read.
__global__ void read_rows_kernel(i64 passive, const i32* place, i32* read) {
  for (const i64 p : indices(passive))
    if (place[p] < place[p + 1]) read[place[p]] = static_cast<i32>(p);
}

Launch tiles_of(i64 rows, i64 columns) {
  return {.grid = {static_cast<unsigned>(ceil_div(rows, TileProduct::kRows)),
                   static_cast<unsigned>(ceil_div(columns, TileProduct::kColumns))},
          .block = TileProduct::kThreads};
}

void gradient_of_features(const Tensor& ids, const Tensor& gy, const Tensor& weight, Tensor& gpassive,
                          Tensor& gactive) {
  const i64 active = gactive.dim(0), passive = gpassive.dim(0), Fo = gy.dim(1), Fi = gactive.dim(1);
  const i32* id = ids.device_data<i32>();
  PatchDims dims{static_cast<int>(active), static_cast<int>(Fi), kPositions, static_cast<int>(Fo)};
  Tensor turned;
  dispatch_storage(gy, [&]<class T>() {
    if (on_tensor_cores<T>(Fo, std::max({gy.numel(), active * Fi, passive * Fi, passive * kPositions}),
                           gy.device_data<T>()))
      turned = ops::permute(weight.reshape({Fo, kPositions, Fi}), {2, 1, 0});
  });
  // launch_at<Tile, T>(gy, turned)
  const auto dispatch_tensor = [&](const auto& launch_at) {
    dispatch_storage(gy, [&]<class T>() {
      dispatch_tile<T>(Fi, [&]<class Tile>() {
        launch_at.template operator()<Tile, T>(gy.device_data<T>(), turned.device_data<T>());
      });
    });
  };
  // launch_at<T, kWidth>(gy, weight)
  const auto dispatch = [&](const auto& launch_at) {
    dispatch_storage(gy, [&]<class T>() {
      const T *g = gy.device_data<T>(), *w = weight.device_data<T>();
      dispatch_width(by_four(Fi, w) && by_four(Fo, g),
                     [&]<int kWidth>() { launch_at.template operator()<T, kWidth>(g, w); });
    });
  };
  if (turned.defined())
    dispatch_tensor([&]<class Tile, class T>(const T* g, const T* w) {
      launch<active_gradient_tensor_kernel<Tile, T>>(Tile::launch_of(active, Fi), dims, id, g, w,
                                                     gactive.device_data<T>());
    });
  else
    dispatch([&]<class T, int kWidth>(const T* g, const T* w) {
      launch<active_gradient_kernel<T, kWidth>>(tiles_of(active, Fi), active, Fi, Fo, id, g, w,
                                                gactive.device_data<T>());
    });

  if (passive == 0) return;
  check_keys("sps_conv2d_backward", ids.numel(), passive * kPositions);
  const auto numbers = [&](i64 n) { return Tensor::empty({n}, DType::kI32, gy.device()); };
  Tensor keys = numbers(ids.numel()), place = numbers(passive + 1), read = numbers(passive);
  launch<readers_kernel>(over(ids.numel()), active, passive, id, keys.device_data<i32>());
  const Groups readers = group_by_key(std::move(keys), passive * kPositions);
  launch<is_read_kernel>(over(passive + 1), passive, readers.first.device_data<i32>(), place.device_data<i32>());
  exclusive_scan(place);
  launch<read_rows_kernel>(over(passive), passive, place.device_data<i32>(), read.device_data<i32>());
  if (turned.defined())
    return dispatch_tensor([&]<class Tile, class T>(const T* g, const T* w) {
      launch<passive_gradient_tensor_kernel<Tile, T>>(Tile::launch_of(passive, Fi), dims, GroupsView(readers),
                                                      read.device_data<i32>(), place.device_data<i32>() + passive, g, w,
                                                      gpassive.device_data<T>());
    });
  dispatch([&]<class T, int kWidth>(const T* g, const T* w) {
    launch<passive_gradient_kernel<T, kWidth>>(tiles_of(passive, Fi), Fi, Fo, GroupsView(readers),
                                               read.device_data<i32>(), place.device_data<i32>() + passive, g, w,
                                               gpassive.device_data<T>());
  });
}

// gw: [parts, Fo, 9, Fi], each part of so many active rows. blockIdx: tile of Fo, position and tile of Fi, part.
template <class T, int kWidth>
__global__ void weight_gradient_kernel(SpsFeatures<T> features, i64 Fo, i64 part_rows, const i32* ids, const T* gy,
                                       float* gw) {
  const i64 Fi = features.width, position = blockIdx.y % kPositions;
  const i64 first_o = i64{blockIdx.x} * TileProduct::kRows,
            first_i = i64{blockIdx.y / kPositions} * TileProduct::kColumns;
  const i64 begin = blockIdx.z * part_rows;
  const i64 end = begin + part_rows < features.active_rows ? begin + part_rows : features.active_rows;
  const auto gradients = [&](i64 step, int k, int index, auto& values) {
    const i64 row = begin + step * TileProduct::kDepth + k;
    TileProduct::read<kWidth>(row < end ? gy + row * Fo : nullptr, first_o + index, Fo, values);
  };
  const auto gathered = [&](i64 step, int k, int index, auto& values) {
    const i64 row = begin + step * TileProduct::kDepth + k;
    const T* const from = row < end ? features.at(ids[row * kPositions + position]) : nullptr;
    TileProduct::read<kWidth>(from, first_i + index, Fi, values);
  };
  TileProduct product;
  product.run((end - begin + TileProduct::kDepth - 1) / TileProduct::kDepth, rows_along_span(gradients),
              columns_along_span(gathered));
  for (int r = 0; r < TileProduct::kThreadRows; ++r)
    for (int j = 0; j < TileProduct::kThreadColumns; ++j) {
      const i64 o = first_o + product.first_row() + r, i = first_i + product.first_column() + j;
      if (o < Fo && i < Fi) gw[((blockIdx.z * Fo + o) * kPositions + position) * Fi + i] = product.sum[r][j];
    }
}

// The same on tensor cores.
template <class Tile, class T>
__global__ void weight_gradient_tensor_kernel(SpsFeatures<T> features, int Fo, int part_rows, const i32* ids,
                                              const T* gy, float* gw) {
  const PatchDims d{static_cast<int>(features.active_rows), Fo, kPositions, static_cast<int>(features.width)};
  const int part = static_cast<int>(blockIdx.z);
  patch_gradient<Tile>(
      d, part, part_rows, [&](int row, int o) { return gy + (row * Fo + o); },
      [&](int row, int t, int i) { return features.at(ids[row * kPositions + t], i); },
      [&](int o, int t, int i, float sum) { gw[((i64{part} * Fo + o) * kPositions + t) * d.width + i] = sum; });
}

void gradient_of_weight(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive, Tensor& gw) {
  const i64 Fo = gy.dim(1), Fi = active.dim(1);
  if (gw.numel() == 0) return;
  dispatch_storage(gy, [&]<class T>() {
    const SpsFeatures<T> features(active, passive);
    const T* g = gy.device_data<T>();
    const i32* id = ids.device_data<i32>();
    // launch_at(grid, rows of a part, [parts, Fo, 9, Fi]), with tiles of so many rows and columns
    const auto by_tiles = [&](i64 tile_rows, i64 tile_columns, const auto& launch_at) {
      const i64 tiles_o = ceil_div(Fo, tile_rows), tiles_i = kPositions * ceil_div(Fi, tile_columns);
      in_parts<T>(active.dim(0), tiles_o * tiles_i, gw, [&](i64 part_rows, i64 parts, float* sums) {
        launch_at(dim3(static_cast<unsigned>(tiles_o), static_cast<unsigned>(tiles_i), static_cast<unsigned>(parts)),
                  part_rows, sums);
      });
    };
    if (on_tensor_cores<T>(Fo, gy.numel(), g) &&
        on_tensor_cores<T>(Fi, features.values(), features.active, features.passive))
      return dispatch_tile<T, 64>(Fi, [&]<class Tile>() {
        by_tiles(Tile::kRows, Tile::kColumns, [&](dim3 grid, i64 part_rows, float* sums) {
          launch<weight_gradient_tensor_kernel<Tile, T>>(
              {.grid = grid, .block = Tile::kThreads, .shared = Tile::kShared}, features, static_cast<int>(Fo),
              static_cast<int>(part_rows), id, g, sums);
        });
      });
    by_tiles(TileProduct::kRows, TileProduct::kColumns, [&](dim3 grid, i64 part_rows, float* sums) {
      dispatch_width(by_four(Fi, features.active, features.passive) && by_four(Fo, g), [&]<int kWidth>() {
        launch<weight_gradient_kernel<T, kWidth>>({.grid = grid, .block = TileProduct::kThreads}, features, Fo,
                                                  part_rows, id, g, sums);
      });
    });
  });
}

void sps_conv2d_backward_cuda(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive,
                              const Tensor& weight, ops::SpsGradients& gradients) {
  if (gradients.active.defined()) gradient_of_features(ids, gy, weight, gradients.passive, gradients.active);
  if (gradients.weight.defined()) gradient_of_weight(ids, gy, active, passive, gradients.weight);
}

[[maybe_unused]] const bool kAdded = ops::sps_conv2d_backward_kernels.add(kDevice, sps_conv2d_backward_cuda);

}  // namespace

}  // namespace tessera
