// Index convolution on the CPU: matrix products (ops/cpu/gemm.h) whose rows are pointed at through the ids of the taps,
// so that the patches [N_A, 9 F] never exist. Active cells that make a tile go through ops/cpu/sps_tiles.h; what is
// written here is for the others, which are all cells where tiles do not pay.
//
//   forward    y  [N_A, Fo] = patches(A, P) [N_A, 9 x Fi] w^T     (+ bias, ReLU)
//   weight     gw [Fo, 9 x Fi] = gy^T patches(A, P)               K = N_A, split and summed
//
// The gradient of the features is in sps_conv2d_gradient.cpp.
#include "ops/sps_conv2d.h"

#include <vector>

#include "ops/cpu/gemm.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/sps_tiles.h"

namespace tessera::ops {
namespace {

void sps_neighbours_cpu(const Tensor& index_map, const Tensor& rows, i64 passive, i64 dilation, Tensor& ids) {
  const i64 S = index_map.dim(1), active = rows.numel(), total = active + passive;
  const i64 *map = index_map.data<i64>(), *row = rows.data<i64>();
  i32* out = ids.data<i32>();
  std::vector<i64> bad(static_cast<size_t>(active), -1);
  parallel_ranges(active, 1 << 11, [&](i64 begin, i64 end) {
    for (i64 a = begin; a < end; ++a) {
      const i64 x = row[a] % S, y = row[a] / S % S;
      for (i64 t = 0; t < kSpsTaps; ++t) {
        const i64 dx = (t % 3 - 1) * dilation, dy = (t / 3 - 1) * dilation;
        const bool inside =
            static_cast<u64>(x + dx) < static_cast<u64>(S) && static_cast<u64>(y + dy) < static_cast<u64>(S);
        const i64 cell = row[a] + dy * S + dx, id = inside ? map[cell] : total;
        // No branch on the id: it is as good as random.
        const bool is_row = static_cast<u64>(id) < static_cast<u64>(total), is_active = is_row & (id < active);
        if ((inside & !is_row) | (is_active & (row[is_active ? id : a] != cell))) bad[static_cast<size_t>(a)] = cell;
        out[a * kSpsTaps + t] = static_cast<i32>(id);
      }
    }
  });
  for (const i64 cell : bad)
    TESSERA_CHECK(cell < 0,
                  "sps_neighbours: the index map holds {} at grid {}, ({}, {}); there are {} active rows, each at its "
                  "own cell, and {} passive ones",
                  map[cell], cell / (S * S), cell % S, cell / S % S, active, passive);
}

template <class T>
void forward(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight, const Tensor& bias,
             Activation activation, Tensor& y) {
  const cpu::SpsFeatures<T> features(active, passive);
  const i64 Fi = features.width, Fo = y.dim(1);
  const T *w = weight.data<T>(), *b = bias.defined() ? bias.data<T>() : nullptr;
  const bool relu = activation == Activation::kRelu;
  const cpu::SpsTiles tiles(ids, features.rows, features.rows + 1, Fi, Fo);
  cpu::run_tiles(tiles, features, {.data = w, .output = kSpsTaps * Fi, .tap = Fi, .input = 1}, b, relu, y);
  cpu::Gemm<T> gemm{.rows = static_cast<i64>(tiles.rest.size()), .columns = Fo, .taps = kSpsTaps, .tap_depth = Fi};
  gemm.a_rows = [&, id = ids.data<i32>()](i64, i64 row, i64 count, const T** table, T*) {
    for (i64 i = 0; i < count; ++i) {
      const i32* taps = id + tiles.rest[static_cast<size_t>(row + i)] * kSpsTaps;
      const T** to = table + i / kTileRows * kSpsTaps * kTileRows + i % kTileRows;
      for (i64 t = 0; t < kSpsTaps; ++t) to[t * kTileRows] = features.at(taps[t]);
    }
  };
  gemm.pack_b = cpu::pack_b_transposed(w, kSpsTaps * Fi, 0);
  gemm.c_rows = [&, to = y.data<T>()](i64, i64 row, i64 count, T** rows) {
    for (i64 i = 0; i < count; ++i) rows[i] = to + tiles.rest[static_cast<size_t>(row + i)] * Fo;
  };
  gemm.bias = b;
  gemm.relu = relu;
  cpu::run(gemm);
}

template <class T>
void backward_weight(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive, Tensor& gw) {
  const cpu::SpsFeatures<T> features(active, passive);
  const i64 Fi = features.width, Fo = gy.dim(1), columns = kSpsTaps * Fi;
  const cpu::SpsTiles tiles(ids, features.rows, features.rows + 1, Fi, Fo);
  const i64 rest = static_cast<i64>(tiles.rest.size());
  Tensor gy_rest = gy;  // the product wants its rows at one distance
  if (rest < gy.dim(0)) {
    gy_rest = Tensor::empty({rest, Fo}, gy.dtype());
    const T* from = gy.data<T>();
    T* to = gy_rest.data<T>();
    for (const i32 row : tiles.rest) to = std::copy_n(from + row * Fo, Fo, to);
  }
  cpu::Gemm<T> gemm{.rows = Fo, .columns = columns, .tap_depth = rest};
  gemm.a_columns = gy_rest.data<T>();
  gemm.a_step = Fo;
  gemm.keep_b = false;
  gemm.pack_b = [&, id = ids.data<i32>(), copy = cpu::gemm_kernels<T>().copy_rows](i64, i64 row, i64 depth, i64 column,
                                                                                   i64 count, T* out, i64 stride) {
    constexpr i64 kRows = 64;
    const T* rows[kRows];
    for (i64 j = 0; j < count;) {
      const i64 t = (column + j) / Fi, offset = (column + j) % Fi, width = std::min(count - j, Fi - offset);
      for (i64 k = 0; k < depth; k += kRows) {
        const i64 some = std::min(kRows, depth - k);
        for (i64 i = 0; i < some; ++i)
          rows[i] = features.at(id[tiles.rest[static_cast<size_t>(row + k + i)] * kSpsTaps + t]);
        copy(rows, offset, some, width, out + k * stride + j, stride);
      }
      j += width;
    }
  };
  gemm.c_rows = cpu::matrix_rows_out(gw.data<T>(), columns, 0);
  cpu::run(gemm);
  cpu::add_tile_weight_gradient(tiles, features, gy, gw);
}

void sps_conv2d_cpu(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight,
                    const Tensor& bias, Activation activation, Tensor& y) {
  cpu::check_sps_ids("sps_conv2d", ids, active.dim(0) + passive.dim(0));
  dispatch_float(active.dtype(), "sps_conv2d",
                 [&]<class T>() { forward<T>(ids, active, passive, weight, bias, activation, y); });
}

void sps_conv2d_backward_weight_cpu(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive,
                                    Tensor& gw) {
  cpu::check_sps_ids("sps_conv2d_backward_weight", ids, active.dim(0) + passive.dim(0));
  dispatch_float(gy.dtype(), "sps_conv2d_backward_weight",
                 [&]<class T>() { backward_weight<T>(ids, gy, active, passive, gw); });
}

const bool kAdded = sps_neighbours_kernels.add(DeviceKind::kCpu, sps_neighbours_cpu) &&
                    sps_conv2d_kernels.add(DeviceKind::kCpu, sps_conv2d_cpu) &&
                    sps_conv2d_backward_weight_kernels.add(DeviceKind::kCpu, sps_conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
