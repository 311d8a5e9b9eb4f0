// Index convolution on the CPU: matrix products (ops/cpu/gemm.h) whose rows are pointed at through the ids of the taps,
// so that the patches [N_A, 9 F] never exist. Active cells that make a tile go through ops/cpu/sps_tiles.h; what is
// written here is for the others, which are all cells where tiles do not pay.
//
//   forward    y  [N_A, Fo] = patches(A, P) [N_A, 9 x Fi] w^T     (+ bias, ReLU)
//   active     gA [N_A, Fi] = patches(gy)   [N_A, 9 x Fo] w       row a is read at tap t by its neighbour at tap 8 - t
//   passive    gP [N_P, Fi] = sums(gy)      [N_P, 9 x Fo] w       by many: the gy rows of one tap are summed first
//   weight     gw [Fo, 9 x Fi] = gy^T patches(A, P)               K = N_A, split and summed
//
// Every sum has a fixed order: nothing is scattered, so nothing depends on the number of threads.
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
        if (inside && (static_cast<u64>(id) >= static_cast<u64>(total) || (id < active && row[id] != cell)))
          bad[static_cast<size_t>(a)] = cell;
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

void check_ids(const char* op, const Tensor& ids, i64 rows) {
  bool fit = true;
  for (const i32 id : ids.span<i32>()) fit &= static_cast<u32>(id) <= static_cast<u32>(rows);
  TESSERA_CHECK(fit, "{}: the neighbours were made for more than {} rows", op, rows);
}

// Points at the taps of some rows: table entry (i, t) = read(ids[rows[row + i], tap_of(t)]).
template <class T, class Read>
auto tap_rows(const Tensor& ids, const std::vector<i32>& rows, bool mirrored, Read read) {
  return [=, &rows, id = ids.data<i32>()](i64, i64 row, i64 count, const T** table, T*) {
    for (i64 i = 0; i < count; ++i) {
      const i32* taps = id + rows[static_cast<size_t>(row + i)] * kSpsTaps;
      const T** to = table + i / kTileRows * kSpsTaps * kTileRows + i % kTileRows;
      for (i64 t = 0; t < kSpsTaps; ++t) to[t * kTileRows] = read(taps[mirrored ? kSpsTaps - 1 - t : t]);
    }
  };
}

template <class T>
auto rows_out(T* c, i64 pitch, const std::vector<i32>& rows) {
  return [=, &rows](i64, i64 row, i64 count, T** out) {
    for (i64 i = 0; i < count; ++i) out[i] = c + rows[static_cast<size_t>(row + i)] * pitch;
  };
}

template <class T>
void forward(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight, const Tensor& bias,
             Activation activation, Tensor& y) {
  const cpu::SpsFeatures<T> features(active, passive);
  const i64 Fi = features.width, Fo = y.dim(1);
  const T *w = weight.data<T>(), *b = bias.defined() ? bias.data<T>() : nullptr;
  const bool relu = activation == Activation::kRelu;
  const cpu::SpsTiles tiles(ids, features.rows, Fi, Fo);
  cpu::run_tiles(tiles, features, {.data = w, .output = kSpsTaps * Fi, .tap = Fi, .input = 1}, b, relu, y);
  cpu::Gemm<T> gemm{.rows = static_cast<i64>(tiles.rest.size()), .columns = Fo, .taps = kSpsTaps, .tap_depth = Fi};
  gemm.a_rows = tap_rows<T>(ids, tiles.rest, false, [&features](i32 id) { return features.at(id); });
  gemm.pack_b = cpu::pack_b_transposed(w, kSpsTaps * Fi, 0);
  gemm.c_rows = rows_out(y.data<T>(), Fo, tiles.rest);
  gemm.bias = b;
  gemm.relu = relu;
  cpu::run(gemm);
}

// A product over taps of gy rows with the weight: B((t, o), i) = w[o, t, i].
template <class T>
cpu::Gemm<T> gradient_product(const Tensor& weight, i64 rows, i64 Fo, i64 Fi) {
  cpu::Gemm<T> gemm{.rows = rows, .columns = Fi, .taps = kSpsTaps, .tap_depth = Fo};
  gemm.pack_b = [=, w = weight.data<T>(), copy = cpu::gemm_kernels<T>().copy_strided](i64, i64 k, i64 depth, i64 column,
                                                                                      i64 count, T* out, i64 stride) {
    while (depth > 0) {
      const i64 t = k / Fo, o = k % Fo, run = std::min(depth, Fo - o);
      copy(w + (o * kSpsTaps + t) * Fi + column, kSpsTaps * Fi, run, count, out, stride);
      k += run, depth -= run, out += run * stride;
    }
  };
  return gemm;
}

// The convolution of gy, where only active rows count, with the kernel turned around: row a is read at tap t by its
// neighbour at tap 8 - t.
template <class T>
void backward_active(const Tensor& ids, const Tensor& gy, const Tensor& weight, i64 zero_id, Tensor& gactive) {
  const i64 Fo = gy.dim(1), Fi = gactive.dim(1);
  const cpu::SpsFeatures<T> gradients(gy, Tensor::empty({0, Fo}, gy.dtype()));
  const cpu::SpsTiles tiles(ids, zero_id, Fo, Fi);
  const T* w = weight.data<T>();
  cpu::run_tiles(tiles, gradients, {.data = w + (kSpsTaps - 1) * Fi, .output = 1, .tap = -Fi, .input = kSpsTaps * Fi},
                 static_cast<const T*>(nullptr), false, gactive);
  cpu::Gemm<T> gemm = gradient_product<T>(weight, static_cast<i64>(tiles.rest.size()), Fo, Fi);
  gemm.a_rows = tap_rows<T>(ids, tiles.rest, true, [&gradients](i32 id) { return gradients.at(id); });
  gemm.c_rows = rows_out(gactive.data<T>(), Fi, tiles.rest);
  cpu::run(gemm);
}

// Who reads the passive rows: for each row that is read at all, a range of (active row, tap) in ascending order.
struct Readers {
  struct Reader {
    i32 row, tap;
  };
  std::vector<i32> read;   // the passive rows that are read, ascending
  std::vector<i64> first;  // [read + 1], into `readers`
  std::vector<Reader> readers;

  Readers(const Tensor& ids, i64 passive) {
    const i64 active = ids.dim(0);
    const i32* id = ids.data<i32>();
    std::vector<i32> counts(static_cast<size_t>(passive), 0);
    const auto each = [&](auto visit) {
      for (i64 i = 0; i < active * kSpsTaps; ++i)
        if (id[i] >= active && id[i] < active + passive) visit(i, static_cast<size_t>(id[i] - active));
    };
    i64 all = 0;
    each([&](i64, size_t p) { ++counts[p], ++all; });
    readers.resize(static_cast<size_t>(all));
    first.push_back(0);
    for (size_t p = 0; p < counts.size(); ++p)
      if (counts[p] > 0) {
        read.push_back(static_cast<i32>(p));
        first.push_back(first.back() + counts[p]);
        counts[p] = static_cast<i32>(read.size() - 1);  // from here on: its place in `read`
      }
    std::vector<i64> next(first.begin(), first.end() - 1);
    each([&](i64 i, size_t p) {
      readers[static_cast<size_t>(next[static_cast<size_t>(counts[p])]++)] = {static_cast<i32>(i / kSpsTaps),
                                                                              static_cast<i32>(i % kSpsTaps)};
    });
  }
};

template <class T>
void backward_passive(const Tensor& ids, const Tensor& gy, const Tensor& weight, Tensor& gpassive) {
  const i64 Fo = gy.dim(1), Fi = gpassive.dim(1);
  const Tensor zeros = Tensor::zeros({Fo}, gy.dtype());
  const Readers readers(ids, gpassive.dim(0));
  cpu::Gemm<T> gemm = gradient_product<T>(weight, static_cast<i64>(readers.read.size()), Fo, Fi);
  gemm.scratch_per_row = kSpsTaps * Fo;
  gemm.a_rows = [&, from = gy.data<T>(), zero = zeros.data<T>()](i64, i64 row, i64 count, const T** table, T* scratch) {
    for (i64 i = 0; i < count; ++i) {
      const T** taps = table + i / kTileRows * kSpsTaps * kTileRows + i % kTileRows;
      for (i64 t = 0; t < kSpsTaps; ++t) taps[t * kTileRows] = zero;
      for (i64 at = readers.first[static_cast<size_t>(row + i)]; at < readers.first[static_cast<size_t>(row + i + 1)];
           ++at) {
        const auto [reader, t] = readers.readers[static_cast<size_t>(at)];
        const T *&tap = taps[t * kTileRows], *g = from + reader * Fo;
        T* sum = scratch + (i * kSpsTaps + t) * Fo;
        if (tap == zero) {
          tap = g;  // one reader: no copy
        } else {
          for (i64 o = 0; o < Fo; ++o) sum[o] = tap[o] + g[o];
          tap = sum;
        }
      }
    }
  };
  gemm.c_rows = rows_out(gpassive.data<T>(), Fi, readers.read);
  cpu::run(gemm);
}

template <class T>
void backward_weight(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive, Tensor& gw) {
  const cpu::SpsFeatures<T> features(active, passive);
  const i64 Fi = features.width, Fo = gy.dim(1), columns = kSpsTaps * Fi;
  const cpu::SpsTiles tiles(ids, features.rows, Fi, Fo);
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
  check_ids("sps_conv2d", ids, active.dim(0) + passive.dim(0));
  dispatch_float(active.dtype(), "sps_conv2d",
                 [&]<class T>() { forward<T>(ids, active, passive, weight, bias, activation, y); });
}

void sps_conv2d_backward_features_cpu(const Tensor& ids, const Tensor& gy, const Tensor& weight, Tensor& gpassive,
                                      Tensor& gactive) {
  check_ids("sps_conv2d_backward_features", ids, gactive.dim(0) + gpassive.dim(0));
  dispatch_float(gy.dtype(), "sps_conv2d_backward_features", [&]<class T>() {
    backward_active<T>(ids, gy, weight, gactive.dim(0) + gpassive.dim(0), gactive);
    if (gpassive.numel() > 0) backward_passive<T>(ids, gy, weight, gpassive);
  });
}

void sps_conv2d_backward_weight_cpu(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive,
                                    Tensor& gw) {
  check_ids("sps_conv2d_backward_weight", ids, active.dim(0) + passive.dim(0));
  dispatch_float(gy.dtype(), "sps_conv2d_backward_weight",
                 [&]<class T>() { backward_weight<T>(ids, gy, active, passive, gw); });
}

const bool kAdded = sps_neighbours_kernels.add(DeviceKind::kCpu, sps_neighbours_cpu) &&
                    sps_conv2d_kernels.add(DeviceKind::kCpu, sps_conv2d_cpu) &&
                    sps_conv2d_backward_features_kernels.add(DeviceKind::kCpu, sps_conv2d_backward_features_cpu) &&
                    sps_conv2d_backward_weight_kernels.add(DeviceKind::kCpu, sps_conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
