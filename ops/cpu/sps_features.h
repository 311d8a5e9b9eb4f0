// How the CPU kernels read SPS features, and add to their gradients: where the row of an id begins.
#pragma once

#include <algorithm>

#include "ops/cpu/parallel.h"
#include "tensor/tensor.h"

namespace tessera::cpu {

template <class T>
struct SpsFeatures {
  const T *active, *passive;
  i64 active_rows, rows, width;  // id `rows` is the zero row
  Tensor zeros;

  SpsFeatures(const Tensor& a, const Tensor& p)
      : active(a.data<T>()),
        passive(p.data<T>()),
        active_rows(a.dim(0)),
        rows(a.dim(0) + p.dim(0)),
        width(a.dim(1)),
        zeros(Tensor::zeros({a.dim(1)}, a.dtype())) {}

  const T* at(i64 id) const {
    if (id < active_rows) return active + id * width;
    return id < rows ? passive + (id - active_rows) * width : zeros.data<T>();
  }
};

// The gradients of an index convolution, each added to, or null where it is not wanted.
template <class T>
struct SpsGradientSums {
  T *active = nullptr, *passive = nullptr;  // both or neither
  T* weight = nullptr;                      // [Fo, 9 Fi]

  T* at(const SpsFeatures<T>& features, i64 id) const {  // null for the zero row
    if (id < features.active_rows) return active + id * features.width;
    return id < features.rows ? passive + (id - features.active_rows) * features.width : nullptr;
  }
};

// The gradients are made in blocks of cells. The gradient of the weight is summed in so many parts, block b in part
// b % kSpsParts, which are then added in order: the bits do not depend on the number of threads.
constexpr i64 kSpsParts = 8;

// How many blocks are computed side by side, each in a place of the workspace.
inline i64 sps_places(i64 blocks) {
  return std::min<i64>({blocks, kSpsParts, omp_get_max_threads()});
}

// compute(block, place) for some blocks side by side, then add(block, place, first channel, last channel) in their
// order, by threads that own channels: what many cells read is added to without a race and in a fixed order.
template <class Compute, class Add>
void compute_and_add(i64 blocks, i64 channels, const Compute& compute, const Add& add) {
  constexpr i64 kFewest = 16;  // channels: below a cache line two threads would share one
  const i64 places = sps_places(blocks);
  for (i64 first = 0; first < blocks; first += places) {
    const i64 some = std::min(places, blocks - first);
#pragma omp parallel for num_threads(static_cast <int>(some)) schedule(static) if (some > 1)
    for (i64 i = 0; i < some; ++i) compute(first + i, i);
    parallel_ranges(channels, kFewest, [&](i64 begin, i64 end) {
      for (i64 i = 0; i < some; ++i) add(first + i, i, begin, end);
    });
  }
}

// Ids of taps that no structure made must not lead outside the features.
inline void check_sps_ids(const char* op, const Tensor& ids, i64 rows) {
  bool fit = true;
  for (const i32 id : ids.span<i32>()) fit &= static_cast<u32>(id) <= static_cast<u32>(rows);
  TESSERA_CHECK(fit, "{}: the neighbours were made for more than {} rows", op, rows);
}

}  // namespace tessera::cpu
