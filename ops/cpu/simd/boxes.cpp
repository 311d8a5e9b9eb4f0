// See boxes.h. Compiled without contraction of products and sums, as ops/scalar/boxes.h asks.
#include "ops/cpu/simd/boxes.h"

#include "ops/scalar/boxes.h"

namespace tessera {
namespace {

constexpr i64 kBlock = simd::kNmsBlock;

using scalar::Box;

template <class T>
[[gnu::always_inline]] inline Box<T> box_at(const simd::Boxes<T>& boxes, i64 j) {
  return {boxes.x1[j], boxes.y1[j], boxes.x2[j], boxes.y2[j], boxes.area[j]};
}

template <bool kGeneralised, class T>
void row(const T* box, simd::Boxes<T> b, i64 n, T* y) {
  const Box<T> a = Box<T>::at(box);
#pragma omp simd
  for (i64 j = 0; j < n; ++j)
    y[j] = kGeneralised ? scalar::generalized_iou(a, box_at(b, j)) : scalar::iou(a, box_at(b, j));
}

// Most boxes of a block are far away. The first loop asks, without dividing, whether any comes near the threshold; its
// test lets through whatever is not certainly below, NaN and negative areas included.
template <class T>
void suppress(simd::Boxes<T> b, i64 i, i64 n, T threshold, u8* removed) {
  const Box<T> a = box_at(b, i);
  const T below = threshold * T(0.9999);
  for (i64 begin = (i + 1) / kBlock * kBlock; begin < n; begin += kBlock) {
    const i64 end = begin + kBlock;
    int near = 0;
#pragma omp simd reduction(| : near)
    for (i64 j = begin; j < end; ++j) {
      const T inside = scalar::intersection(a, box_at(b, j));
      near |= !(inside < below * (a.area + b.area[j] - inside));
    }
    if (!near) continue;
#pragma omp simd
    for (i64 j = begin; j < end; ++j) removed[j] |= scalar::iou(a, box_at(b, j)) > threshold;
  }
}

[[maybe_unused]] const bool kAdded[] = {
    simd::iou_row.add(TESSERA_SIMD_LEVEL, row<false, float>, row<false, double>),
    simd::giou_row.add(TESSERA_SIMD_LEVEL, row<true, float>, row<true, double>),
    simd::suppress.add(TESSERA_SIMD_LEVEL, suppress<float>, suppress<double>),
};

}  // namespace
}  // namespace tessera
