// See roi_align.h. The sums of a block of channels stay in registers while all that is read passes by: each time one
// broadcast weight and one load and multiply-add per vector, no store.
#include "ops/cpu/simd/roi_align.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

using simd::WeightLists;

constexpr int kMaxVectors = TESSERA_SIMD_LEVEL == 2 ? 16 : 8;  // half the registers, or all but the operands'

template <class T, int kVectors>
[[gnu::always_inline]] inline void blend(const T* in, const WeightLists<T>& rows, i64 row,
                                         const WeightLists<T>& columns, i64 column, bool add, T* out) {
  constexpr int kLanes = vec::kLanes<T>;
  vec::Vector<T> sum[kVectors] = {};
  if (add) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sum[v] = vec::load(out + v * kLanes);
  }
  for (i64 a = rows.begin[row]; a < rows.begin[row + 1]; ++a) {
    const T* line = in + rows.offset[a];
    const T row_weight = rows.weight[a];
    for (i64 b = columns.begin[column]; b < columns.begin[column + 1]; ++b) {
      const T* pixel = line + columns.offset[b];
      const T weight = row_weight * columns.weight[b];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[v] += vec::load(pixel + v * kLanes) * weight;
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) vec::store(out + v * kLanes, sum[v]);
}

// The channels of a partial vector.
template <class T>
void blend_rest(const T* in, const WeightLists<T>& rows, i64 row, const WeightLists<T>& columns, i64 column,
                i64 channels, bool add, T* out) {
  for (i64 c = 0; c < channels; ++c) {
    T sum = add ? out[c] : T(0);
    for (i64 a = rows.begin[row]; a < rows.begin[row + 1]; ++a)
      for (i64 b = columns.begin[column]; b < columns.begin[column + 1]; ++b)
        sum += in[rows.offset[a] + columns.offset[b] + c] * (rows.weight[a] * columns.weight[b]);
    out[c] = sum;
  }
}

template <class T>
void row_of_sums(const T* in, const WeightLists<T>& rows, i64 row, const WeightLists<T>& columns, i64 count,
                 i64 channels, bool add, T* out) {
  constexpr i64 kLanes = vec::kLanes<T>;
  if (add && rows.begin[row] == rows.begin[row + 1]) return;
  for (i64 j = 0; j < count; ++j, out += channels) {
    if (add && columns.begin[j] == columns.begin[j + 1]) continue;
    i64 c = 0;
    for (; c + kMaxVectors * kLanes <= channels; c += kMaxVectors * kLanes)
      blend<T, kMaxVectors>(in + c, rows, row, columns, j, add, out + c);
    for (; c + 4 * kLanes <= channels; c += 4 * kLanes) blend<T, 4>(in + c, rows, row, columns, j, add, out + c);
    for (; c + kLanes <= channels; c += kLanes) blend<T, 1>(in + c, rows, row, columns, j, add, out + c);
    if (c < channels) blend_rest(in + c, rows, row, columns, j, channels - c, add, out + c);
  }
}

[[maybe_unused]] const bool kAdded =
    simd::separable_row.add(TESSERA_SIMD_LEVEL, row_of_sums<float>, row_of_sums<double>);

}  // namespace
}  // namespace tessera
