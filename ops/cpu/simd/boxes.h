// The inner loops over many boxes, compiled per SIMD level (boxes.cpp beside this file). The boxes are split by
// coordinate, so that one vector holds the same edge of many.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

inline constexpr i64 kNmsBlock = 64;  // boxes looked at together; the arrays of `suppress` are padded to it

template <class T>
struct Boxes {
  const T *x1, *y1, *x2, *y2, *area;
};

// y[j] = overlap of the box `a` (x1, y1, x2, y2) with box j < n
template <class T>
using BoxRow = void(const T* a, Boxes<T> boxes, i64 n, T* y);
// removed[j] = 1 for every j > i, j < n (padded) whose iou with box i is > threshold. Boxes before i may be marked too.
template <class T>
using Suppress = void(Boxes<T> boxes, i64 i, i64 n, T threshold, u8* removed);

inline constinit FloatTables<BoxRow> iou_row, giou_row;
inline constinit FloatTables<Suppress> suppress;

}  // namespace tessera::simd
