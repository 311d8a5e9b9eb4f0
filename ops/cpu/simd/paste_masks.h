// One row of a pasted mask.
#pragma once

#include <cstdint>

#include "ops/cpu/simd/float_tables.h"

namespace tessera {

using i64 = std::int64_t;

// With p = (1 - fraction[i]) cells[column[i]] + fraction[i] cells[column[i] + 1] for all i < count:
// out[i] = p > threshold; *sum and *area grow by the sum of these p and by their number.
template <class T>
using PasteRow = void(const T* cells, const std::int32_t* column, const T* fraction, i64 count, T threshold,
                      std::uint8_t* out, double* sum, i64* area);
inline constinit simd::FloatTables<PasteRow> paste_row;

}  // namespace tessera
