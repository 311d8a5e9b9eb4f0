// A detector's anchors as numbers: where the feature of a chosen anchor lies, and which chosen anchor learns which
// object. All i64, no gradients.
//
// On every cell of its maps a picture has the same `kinds` anchors: A = cells kinds, and anchor a is the one of kind
// a % kinds on cell a / kinds.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

// Chosen are n anchors in each of B pictures, anchors i64 [B, n]. The one at [b, j] is number q = b n + j of N = B n:
//   picture[q] = b,  cell[q] = b cells + anchor / kinds,  kind[q] = anchor % kinds,  slot[q] = kind N + q
// cell is a row of what the B pictures have on all their cells, slot of what `kinds` functions make of all N.
// An anchor outside of [0, A) is an error on the CPU; on other devices, where the host does not see it, its cell, kind
// and slot are -1.
struct AnchorRows {
  Tensor picture, cell, kind, slot;  // [N]
};
AnchorRows anchor_rows(const Tensor& anchors, i64 cells, i64 kinds);

// ranked [T, R]: the anchors that each of T objects wants, the best first; pictures [T]: where the objects are; chosen
// [B, n], in each picture all different. A chosen anchor gets the object of its picture that has it at the lowest rank,
// of several with this rank the first.
//   owner [N]         the object of each chosen anchor, T where it has none
//   chosen, object    [M] each: the pairs of those that have one, chosen ascending (0 .. N - 1)
// The host waits for the device to learn M. A picture outside of [0, B) is an error on the CPU, elsewhere its objects
// are passed by.
struct AnchorMatches {
  Tensor owner, chosen, object;
};
AnchorMatches match_anchors(const Tensor& ranked, const Tensor& pictures, const Tensor& chosen);

using AnchorRowsKernel = void(const Tensor& anchors, i64 cells, i64 kinds, Tensor& picture, Tensor& cell, Tensor& kind,
                              Tensor& slot);
// The kernel allocates `matched` and `object`: only it knows how many there are.
using MatchAnchorsKernel = void(const Tensor& ranked, const Tensor& pictures, const Tensor& chosen, Tensor& owner,
                                Tensor& matched, Tensor& object);
inline constinit KernelTable<AnchorRowsKernel> anchor_rows_kernels{"anchor_rows"};
inline constinit KernelTable<MatchAnchorsKernel> match_anchors_kernels{"match_anchors"};

}  // namespace tessera::ops
