// A row of sums with separable weights: what RoIAlign does with the pixels of a map, and its backward with the bins.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// Item j reads [begin[j], begin[j + 1]): where that lies, in elements, and with what weight.
template <class T>
struct WeightLists {
  const i64* begin;
  const i64* offset;
  const T* weight;
};

// For all j < count and c < channels
//   out[j, c] = (add ? out[j, c] : 0) + sum over a of rows[row] and b of columns[j] of
//               weight(a) weight(b) in[offset(a) + offset(b) + c]
template <class T>
using SeparableRow = void(const T* in, const WeightLists<T>& rows, i64 row, const WeightLists<T>& columns, i64 count,
                          i64 channels, bool add, T* out);
inline constinit FloatTables<SeparableRow> separable_row;

}  // namespace tessera::simd
