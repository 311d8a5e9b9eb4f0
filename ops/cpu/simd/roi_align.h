// A row of sums over separable taps: what RoIAlign does with the pixels of a map, and its backward with the bins.
#pragma once

#include <cstdint>

#include "ops/cpu/simd/float_tables.h"

namespace tessera {

using i64 = std::int64_t;

// Item j has the taps [begin[j], begin[j + 1]): where they lie, in elements, and with what weight.
template <class T>
struct TapLists {
  const i64* begin;
  const i64* offset;
  const T* weight;
};

// For all j < count and c < channels
//   out[j, c] = (add ? out[j, c] : 0) + sum over taps a of rows[row] and b of columns[j] of
//               weight(a) weight(b) in[offset(a) + offset(b) + c]
template <class T>
using SeparableRow = void(const T* in, const TapLists<T>& rows, i64 row, const TapLists<T>& columns, i64 count,
                          i64 channels, bool add, T* out);
inline constinit simd::FloatTables<SeparableRow> separable_row;

}  // namespace tessera
