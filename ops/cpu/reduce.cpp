// Reductions on the CPU. The reduced dimension is cut into chunks of fixed size, whose partial sums (double) are added
// in order at the end: the result does not depend on the number of threads.
#include "ops/reduce.h"

#include <limits>
#include <numeric>
#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/reduce.h"

namespace tessera {

namespace {

constexpr i64 kChunk = 32768;  // elements of one piece of work

// One task: one chunk of the reduced dimension for one tile of neighbouring columns (one column when inner is 1).
void sum_cpu(const ops::ReduceDims& dims, double scale, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype(), "sum", [&]<class T>() {
    const auto loop = simd::sum.get<T>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    const i64 inner = dims.inner, width = simd::kReduceColumns, tiles = (inner + width - 1) / width;
    const i64 rows = std::max<i64>(256, kChunk / std::max<i64>(inner, 1)),
              chunks = std::max<i64>(1, (dims.count + rows - 1) / rows);
    std::vector<double> partial(chunks == 1 ? 0 : static_cast<size_t>(dims.outer * chunks * inner));
    const i64 work = std::min(rows, dims.count) * std::min(inner, width);
    parallel_ranges(
        dims.outer * chunks * tiles, std::max<i64>(1, kChunk / std::max<i64>(work, 1)), [&](i64 begin, i64 end) {
          for (i64 task = begin; task < end; ++task) {
            const i64 tile = task % tiles, chunk = task / tiles % chunks, o = task / tiles / chunks;
            const i64 first = chunk * rows, column = tile * width, columns = std::min(width, inner - column);
            double sums[simd::kReduceColumns];
            loop(in + (o * dims.count + first) * inner + column, std::min(rows, dims.count - first), inner, columns,
                 sums);
            for (i64 c = 0; c < columns; ++c) {
              if (chunks == 1) {
                out[o * inner + column + c] = static_cast<T>(scale * sums[c]);
              } else {
                partial[static_cast<size_t>((o * chunks + chunk) * inner + column + c)] = sums[c];
              }
            }
          }
        });
    if (chunks == 1) return;
    for (i64 o = 0; o < dims.outer; ++o)
      for (i64 i = 0; i < inner; ++i) {
        double total = 0;
        for (i64 chunk = 0; chunk < chunks; ++chunk)
          total += partial[static_cast<size_t>((o * chunks + chunk) * inner + i)];
        out[o * inner + i] = static_cast<T>(scale * total);
      }
  });
}

// Walks the reduced dimension outermost, so that memory is read in order; a value replaces the largest so far when it
// is larger, or the first NaN.
void max_cpu(const ops::ReduceDims& dims, const Tensor& x, Tensor& values, Tensor& indices) {
  dispatch_float(x.dtype(), "max", [&]<class T>() {
    const T* in = x.data<T>();
    T* best = values.data<T>();
    i64* where = indices.data<i64>();
    const i64 inner = dims.inner;
    parallel_ranges(dims.outer, std::max<i64>(1, kChunk / std::max<i64>(1, dims.count * inner)),
                    [&](i64 begin, i64 end) {
                      for (i64 o = begin; o < end; ++o) {
                        const T* rows = in + o * dims.count * inner;
                        std::copy_n(rows, inner, best + o * inner);
                        std::fill_n(where + o * inner, inner, 0);
                        for (i64 r = 1; r < dims.count; ++r)
                          for (i64 i = 0; i < inner; ++i) {
                            const T value = rows[r * inner + i];
                            T& largest = best[o * inner + i];
                            if (!(value <= largest) && largest == largest) {
                              largest = value;
                              where[o * inner + i] = r;
                            }
                          }
                      }
                    });
  });
}

void max_backward_cpu(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& indices, Tensor& gx) {
  dispatch_float(gy.dtype(), "max_backward", [&]<class T>() {
    const T* g = gy.data<T>();
    const i64* where = indices.data<i64>();
    T* out = gx.data<T>();
    for (i64 k = 0; k < gy.numel(); ++k) {
      TESSERA_CHECK(0 <= where[k] && where[k] < dims.count, "max_backward: index {} is outside [0, {})", where[k],
                    dims.count);
      out[(k / dims.inner * dims.count + where[k]) * dims.inner + k % dims.inner] = g[k];
    }
  });
}

// Runs loop(x, n, &partial[chunk]) on every chunk of `count` values.
template <class T, class Loop, class Result>
void for_each_chunk(const T* in, i64 count, Loop loop, std::vector<Result>& partial) {
  partial.resize(static_cast<size_t>((count + kChunk - 1) / kChunk));
  parallel_ranges(static_cast<i64>(partial.size()), 1, [&](i64 begin, i64 end) {
    for (i64 chunk = begin; chunk < end; ++chunk)
      loop(in + chunk * kChunk, std::min(kChunk, count - chunk * kChunk), &partial[static_cast<size_t>(chunk)]);
  });
}

void sum_of_squares_cpu(std::span<const Tensor> xs, Tensor& sum) {
  double& total = *sum.data<double>();
  total = 0;
  std::vector<double> partial;
  for (const Tensor& x : xs) {
    dispatch_float(x.dtype(), "sum_of_squares",
                   [&]<class T>() { for_each_chunk(x.data<T>(), x.numel(), simd::sum_of_squares.get<T>(), partial); });
    total += std::accumulate(partial.begin(), partial.end(), 0.0);
  }
}

void mark_non_finite_cpu(const Tensor& x, Tensor& marks) {
  struct Flag {
    bool value;
  };  // a vector<bool> has no addresses
  const i64 rows = x.dim(0), count = x.shape().numel(1, x.rank());
  std::vector<Flag> finite;
  dispatch_float(x.dtype(), "mark_non_finite", [&]<class T>() {
    const auto loop = [all = simd::all_finite.get<T>()](const T* in, i64 n, Flag* flag) { all(in, n, &flag->value); };
    for (i64 r = 0; r < rows; ++r) {
      for_each_chunk(x.data<T>() + r * count, count, loop, finite);
      if (!std::all_of(finite.begin(), finite.end(), [](Flag flag) { return flag.value; }))
        marks.data<T>()[r] = std::numeric_limits<T>::quiet_NaN();
    }
  });
}

constexpr DeviceKind kCpu = DeviceKind::kCpu;

[[maybe_unused]] const bool kAdded[] = {
    ops::sum_kernels.add(kCpu, sum_cpu),
    ops::max_kernels.add(kCpu, max_cpu),
    ops::max_backward_kernels.add(kCpu, max_backward_cpu),
    ops::sum_of_squares_kernels.add(kCpu, sum_of_squares_cpu),
    ops::mark_non_finite_kernels.add(kCpu, mark_non_finite_cpu),
};

}  // namespace

}  // namespace tessera
