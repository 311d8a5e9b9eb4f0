// The gradient of the features of an index convolution on the CPU: each row gathers from its readers, tap by tap.
//
//   gA[a] = sum over t of gy[reader of a at tap t] w[t]         the reader at tap t is a's neighbour at tap 8 - t
//   gP[p] = sum over t of (sum over the readers of p at tap t of gy[reader]) w[t]
//
// Most rows have readers at a few taps only (few cells are active, and passive rows cover many), so the products are
// made for the pairs (row, tap) that exist: a block of rows is one thread's task, and for each tap in turn the rows
// that are read there are multiplied and added. Active rows whose tiles are dense enough go through
// ops/cpu/sps_tiles.h, as the convolution of gy with the kernel turned around. Nothing is scattered: every sum has a
// fixed order.
#include <omp.h>

#include <vector>

#include "ops/cpu/gemm.h"
#include "ops/cpu/sps_tiles.h"
#include "ops/sps_conv2d.h"

namespace tessera::ops {
namespace {

constexpr i64 kBlock = 96;  // rows of a task

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

  i64 rows() const { return static_cast<i64>(read.size()); }
};

// w[t] as panels [Fo][Fi], one after the other.
template <class T>
Tensor pack_weight(const Tensor& weight, i64 Fo, i64 Fi, i64 padded) {
  const auto& kernels = cpu::gemm_kernels<T>();
  Tensor packed = Tensor::zeros({kSpsTaps, Fo, padded}, weight.dtype());
  for (i64 t = 0; t < kSpsTaps; ++t)
    for (i64 i = 0; i < Fi; i += kernels.panel_columns)
      kernels.copy_strided(weight.data<T>() + t * Fi + i, kSpsTaps * Fi, Fo, std::min(kernels.panel_columns, Fi - i),
                           packed.data<T>() + t * Fo * padded + i * Fo, std::min(kernels.panel_columns, padded - i));
  return packed;
}

// Rows to compute and what is read of gy for each: at(i, taps, scratch) sets taps[t], null where nobody reads.
template <class T>
struct PairProduct {
  const T* packed;  // pack_weight
  i64 Fo, Fi, padded;

  template <class Target, class Source>
  void run(i64 rows, const Target& target, const Source& source) const {
    const i64 blocks = (rows + kBlock - 1) / kBlock;
    if (blocks == 0) return;
    const int threads = static_cast<int>(std::min<i64>(blocks, omp_get_max_threads()));
    Tensor workspace = Tensor::empty({threads, kBlock * kSpsTaps * Fo}, kDTypeOf<T>);
    T* const memory = workspace.data<T>();
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (i64 block = 0; block < blocks; ++block) {
      T* const scratch = memory + omp_get_thread_num() * kBlock * kSpsTaps * Fo;
      const T* from[kSpsTaps][kBlock];
      T* to[kSpsTaps][kBlock];
      i64 counts[kSpsTaps] = {};
      for (i64 i = block * kBlock; i < std::min(rows, (block + 1) * kBlock); ++i) {
        const T* taps[kSpsTaps] = {};
        source(i, taps, scratch + (i - block * kBlock) * kSpsTaps * Fo);
        T* const out = target(i);
        std::fill_n(out, Fi, T(0));
        for (i64 t = 0; t < kSpsTaps; ++t)
          if (taps[t]) {
            from[t][counts[t]] = taps[t];
            to[t][counts[t]++] = out;
          }
      }
      for (i64 t = 0; t < kSpsTaps; ++t)
        cpu::gemm_kernels<T>().block({.rows = counts[t],
                                      .columns = Fi,
                                      .a_rows = from[t],
                                      .a_taps = 1,
                                      .tap = 0,
                                      .taps = 1,
                                      .tap_offset = 0,
                                      .tap_depth = Fo,
                                      .a_columns = nullptr,
                                      .a_step = 0,
                                      .b = packed + t * Fo * padded,
                                      .panel_stride = cpu::gemm_kernels<T>().panel_columns * Fo,
                                      .c_rows = to[t],
                                      .c_column = 0,
                                      .accumulate = true,
                                      .bias = nullptr,
                                      .relu = false});
    }
  }
};

template <class T>
void backward_features(const Tensor& ids, const Tensor& gy, const Tensor& weight, Tensor& gpassive, Tensor& gactive) {
  const i64 active = gactive.dim(0), passive = gpassive.dim(0), Fo = gy.dim(1), Fi = gactive.dim(1);
  const T *const w = weight.data<T>(), *const gradient = gy.data<T>();
  const i32* const id = ids.data<i32>();
  const cpu::SpsFeatures<T> gradients(gy, Tensor::empty({0, Fo}, gy.dtype()));
  const cpu::SpsTiles tiles(ids, active + passive, active, Fo, Fi);
  cpu::run_tiles(tiles, gradients, {.data = w + (kSpsTaps - 1) * Fi, .output = 1, .tap = -Fi, .input = kSpsTaps * Fi},
                 static_cast<const T*>(nullptr), false, gactive);

  const i64 lanes = cpu::gemm_kernels<T>().lanes, padded = (Fi + lanes - 1) / lanes * lanes;
  const Tensor packed = pack_weight<T>(weight, Fo, Fi, padded);
  const PairProduct<T> product{packed.data<T>(), Fo, Fi, padded};
  product.run(
      static_cast<i64>(tiles.rest.size()),
      [&, out = gactive.data<T>()](i64 i) { return out + tiles.rest[static_cast<size_t>(i)] * Fi; },
      [&](i64 i, const T** taps, T*) {
        const i32* neighbours = id + tiles.rest[static_cast<size_t>(i)] * kSpsTaps;
        for (i64 t = 0; t < kSpsTaps; ++t) {
          const i32 reader = neighbours[kSpsTaps - 1 - t];
          if (reader < active) taps[t] = gradient + reader * Fo;
        }
      });

  if (passive == 0) return;
  const Readers readers(ids, passive);
  product.run(
      readers.rows(), [&, out = gpassive.data<T>()](i64 i) { return out + readers.read[static_cast<size_t>(i)] * Fi; },
      [&](i64 i, const T** taps, T* scratch) {
        const i64 last = readers.first[static_cast<size_t>(i + 1)];
        for (i64 at = readers.first[static_cast<size_t>(i)]; at < last; ++at) {
          const auto [reader, t] = readers.readers[static_cast<size_t>(at)];
          const T *&tap = taps[t], *g = gradient + reader * Fo;
          if (!tap) {
            tap = g;  // the first reader: no copy
          } else {
            T* sum = scratch + t * Fo;
            cpu::sps_tile_kernels<T>().sum(tap, g, Fo, sum);
            tap = sum;
          }
        }
      });
}

void sps_conv2d_backward_features_cpu(const Tensor& ids, const Tensor& gy, const Tensor& weight, Tensor& gpassive,
                                      Tensor& gactive) {
  cpu::check_sps_ids("sps_conv2d_backward_features", ids, gactive.dim(0) + gpassive.dim(0));
  dispatch_float(gy.dtype(), "sps_conv2d_backward_features",
                 [&]<class T>() { backward_features<T>(ids, gy, weight, gpassive, gactive); });
}

const bool kAdded = sps_conv2d_backward_features_kernels.add(DeviceKind::kCpu, sps_conv2d_backward_features_cpu);

}  // namespace
}  // namespace tessera::ops
