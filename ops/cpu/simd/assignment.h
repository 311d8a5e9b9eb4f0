// The inner loops of the assignment solver, compiled per SIMD level (assignment.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// One row of the matrix joins the tree: for each column c < n
//   length = reached + cost[c] - row_price - column_price[c]
// in double, and where it is less than distance[c] it becomes distance[c], and previous[c] = row. nearest: the least
// distance.
template <class T>
using AssignmentRelax = void(const T* cost, const double* column_price, double reached, double row_price, i64 row,
                             double* distance, i64* previous, i64 n, double* nearest);

// The columns c < n with distance[c] == value, in ascending order: found[0 .. count).
using AssignmentFind = void(const double* distance, double value, i64 n, i64* found, i64* count);

inline constinit FloatTables<AssignmentRelax> assignment_relax;
inline constinit SimdTable<AssignmentFind> assignment_find;

}  // namespace tessera::simd
