// One row of a pasted mask.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// With p = (1 - fraction[i]) cells[column[i]] + fraction[i] cells[column[i] + 1] for all i < count:
// out[i] = p > threshold; *sum and *area grow by the sum of these p and by their number.
template <class T>
using PasteRow = void(const T* cells, const i32* column, const T* fraction, i64 count, T threshold, u8* out,
                      double* sum, i64* area);
inline constinit FloatTables<PasteRow> paste_row;

}  // namespace tessera::simd
