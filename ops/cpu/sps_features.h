// How the CPU kernels read SPS features, and add to their gradients: where the row of an id begins.
#pragma once

#include <omp.h>

#include <algorithm>

#include "ops/cpu/round.h"
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

// The gradients are made in blocks of cells, as many side by side as there are threads, each in a place of the
// workspace:
//   compute(block, place)            what a block has for itself
//   multiply(product, block, place)  adds to one of the products that the weight's gradient consists of
//   add(block, place, begin, end)    adds to channels [begin, end) of the features' gradients
// Threads own blocks, then products, then channels, and go through the blocks in order: nothing races, and the bits do
// not depend on the number of threads.
inline i64 sps_places(i64 blocks) {
  return std::min<i64>(blocks, omp_get_max_threads());
}
template <class Compute, class Multiply, class Add>
void run_sps_blocks(i64 blocks, const Compute& compute, i64 products, const Multiply& multiply, i64 channels,
                    const Add& add) {
  constexpr i64 kFewest = 16;  // channels: below a cache line two threads would share one
  const int places = static_cast<int>(sps_places(blocks));
#pragma omp parallel num_threads(places)
  {
    const i64 width = round_up(ceil_div(std::max<i64>(channels, 1), omp_get_num_threads()), kFewest);
    for (i64 first = 0; first < blocks; first += places) {
      const i64 last = std::min(blocks, first + places);
#pragma omp for schedule(static)
      for (i64 block = first; block < last; ++block) compute(block, block - first);
#pragma omp for schedule(static) nowait
      for (i64 product = 0; product < products; ++product)
        for (i64 block = first; block < last; ++block) multiply(product, block, block - first);
#pragma omp for schedule(static)
      for (i64 begin = 0; begin < channels; begin += width)
        for (i64 block = first; block < last; ++block)
          add(block, block - first, begin, std::min(channels, begin + width));
    }
  }
}

// Fetches the elements [begin, end) of a row, or of nothing, for use soon after.
template <class T>
void ask_for_row(const T* row, i64 begin, i64 end) {
  for (i64 i = begin; i < end && row; i += 64 / static_cast<i64>(sizeof(T))) __builtin_prefetch(row + i, 0, 2);
}

// Ids of positions that no structure made must not lead outside the features.
inline void check_sps_ids(const char* op, const Tensor& ids, i64 rows) {
  bool fit = true;
  for (const i32 id : ids.span<i32>()) fit &= static_cast<u32>(id) <= static_cast<u32>(rows);
  TESSERA_CHECK(fit, "{}: the neighbours were made for more than {} rows", op, rows);
}

}  // namespace tessera::cpu
