// Index convolution on the CPU. The patches [N_A, 9 F] never exist: active cells that make a tile go through
// ops/cpu/sps_tiles.h, the others through ops/cpu/sps_pairs.h, forward and backward alike.
#include "ops/sps_conv2d.h"

#include <atomic>

#include "ops/cpu/parallel.h"
#include "ops/cpu/sps_pairs.h"
#include "ops/cpu/sps_tiles.h"

namespace tessera::ops {
namespace {

constexpr i64 kGrain = 1 << 14;  // cells per thread

// Whether every id of the map is a row and as many cells are active as there are active rows: that all of these stand
// in the map is known. Signs in place of comparisons; one look at each cell costs less than a check of each position.
bool is_whole(const Tensor& index_map, i64 active, i64 passive) {
  const i64* map = index_map.data<i64>();
  const u64 last = static_cast<u64>(active + passive - 1);
  std::atomic<i64> active_cells = 0;
  std::atomic<bool> rows = true;
  parallel_ranges(index_map.numel(), kGrain, [&](i64 begin, i64 end) {
    u64 count = 0, signs = 0;
    for (i64 cell = begin; cell < end; ++cell) {
      const u64 id = static_cast<u64>(map[cell]);
      count += (id - static_cast<u64>(active)) >> 63;
      signs |= id | (last - id);
    }
    active_cells += static_cast<i64>(count);
    if (signs >> 63) rows = false;
  });
  return rows && active_cells == active;
}

void sps_neighbours_cpu(const Tensor& index_map, const Tensor& rows, i64 passive, i64 dilation, Tensor& ids) {
  const i64 S = index_map.dim(1), active = rows.numel(), total = active + passive;
  const i64 *map = index_map.data<i64>(), *row = rows.data<i64>();
  const auto check = [&](bool right, i64 cell) {
    TESSERA_CHECK(right,
                  "sps_neighbours: the index map holds {} at grid {}, ({}, {}); there are {} active rows, each at its "
                  "own cell, and {} passive ones",
                  map[cell], cell / (S * S), cell % S, cell / S % S, active, passive);
  };
  for (i64 a = 0; a < active; ++a) check(map[row[a]] == a, row[a]);
  if (!is_whole(index_map, active, passive))
    for (i64 cell = 0; cell < index_map.numel(); ++cell) {
      const i64 id = map[cell];
      check(id >= 0 && id < total && (id >= active || row[id] == cell), cell);
    }
  i32* out = ids.data<i32>();
  parallel_ranges(active, kGrain, [&](i64 begin, i64 end) {
    for (i64 a = begin; a < end; ++a) {
      const i64 cell = row[a], x = cell % S, y = cell / S % S;
      for (i64 t = 0; t < kSpsPositions; ++t) {
        const i64 dx = (t % 3 - 1) * dilation, dy = (t / 3 - 1) * dilation;
        const bool inside =
            (static_cast<u64>(x + dx) < static_cast<u64>(S)) & (static_cast<u64>(y + dy) < static_cast<u64>(S));
        const i64 id = map[inside ? cell + dy * S + dx : cell];
        out[a * kSpsPositions + t] = static_cast<i32>(inside ? id : total);
      }
    }
  });
}

template <class T>
void forward(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight, const Tensor& bias,
             Activation activation, Tensor& y) {
  const cpu::SpsFeatures<T> features(active, passive);
  const T* b = bias.defined() ? bias.data<T>() : nullptr;
  const bool relu = activation == Activation::kRelu;
  const cpu::SpsTiles tiles(ids, features.rows, features.width, y.dim(1));
  cpu::run_tiles(tiles, features, weight, b, relu, y);
  cpu::run_pairs(tiles.rest, ids, features, weight, b, relu, y);
}

template <class T>
void backward(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive, const Tensor& weight,
              SpsGradients& gradients) {
  const cpu::SpsFeatures<T> features(active, passive);
  cpu::SpsGradientSums<T> sums;
  if (gradients.active.defined()) sums.active = gradients.active.data<T>(), sums.passive = gradients.passive.data<T>();
  if (gradients.weight.defined()) sums.weight = gradients.weight.data<T>();
  const cpu::SpsTiles tiles(ids, features.rows, features.width, gy.dim(1));
  cpu::add_tile_gradients(tiles, features, gy, weight, sums);
  cpu::add_pair_gradients<T>(tiles.rest, ids, features, gy, weight, sums);
}

void sps_conv2d_cpu(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight,
                    const Tensor& bias, Activation activation, Tensor& y) {
  cpu::check_sps_ids("sps_conv2d", ids, active.dim(0) + passive.dim(0));
  dispatch_float(active.dtype(), "sps_conv2d",
                 [&]<class T>() { forward<T>(ids, active, passive, weight, bias, activation, y); });
}

void sps_conv2d_backward_cpu(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive,
                             const Tensor& weight, SpsGradients& gradients) {
  cpu::check_sps_ids("sps_conv2d_backward", ids, active.dim(0) + passive.dim(0));
  dispatch_float(gy.dtype(), "sps_conv2d_backward",
                 [&]<class T>() { backward<T>(ids, gy, active, passive, weight, gradients); });
}

const bool kAdded = sps_neighbours_kernels.add(DeviceKind::kCpu, sps_neighbours_cpu) &&
                    sps_conv2d_kernels.add(DeviceKind::kCpu, sps_conv2d_cpu) &&
                    sps_conv2d_backward_kernels.add(DeviceKind::kCpu, sps_conv2d_backward_cpu);

}  // namespace
}  // namespace tessera::ops
