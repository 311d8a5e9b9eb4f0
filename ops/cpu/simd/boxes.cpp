// Overlaps of one box with many. Compiled without contraction of products and sums (ops/CMakeLists.txt): whether an iou
// exceeds a threshold is then decided on the same bits at every level.
#include "ops/cpu/simd/boxes.h"

namespace tessera {
namespace {

constexpr long kBlock = simd::kNmsBlock;

template <class T>
[[gnu::always_inline]] inline T larger(T a, T b) {
  return a < b ? b : a;
}
template <class T>
[[gnu::always_inline]] inline T smaller(T a, T b) {
  return b < a ? b : a;
}

template <class T>
struct Box {
  T x1, y1, x2, y2, area;
};

// The areas that box j shares with the box a.
template <class T>
[[gnu::always_inline]] inline T intersection(const Box<T>& a, const simd::Boxes<T>& b, long j) {
  const T width = smaller(a.x2, b.x2[j]) - larger(a.x1, b.x1[j]);
  const T height = smaller(a.y2, b.y2[j]) - larger(a.y1, b.y1[j]);
  return larger(T(0), width) * larger(T(0), height);
}

template <bool kGeneralised, class T>
void row(const T* box, simd::Boxes<T> b, long n, T* y) {
  const Box<T> a{box[0], box[1], box[2], box[3], (box[2] - box[0]) * (box[3] - box[1])};
#pragma omp simd
  for (long j = 0; j < n; ++j) {
    const T inside = intersection(a, b, j), both = a.area + b.area[j] - inside, iou = inside / both;
    if constexpr (kGeneralised) {
      const T width = larger(a.x2, b.x2[j]) - smaller(a.x1, b.x1[j]);
      const T height = larger(a.y2, b.y2[j]) - smaller(a.y1, b.y1[j]);
      const T around = larger(T(0), width) * larger(T(0), height);
      y[j] = iou - (around - both) / around;
    } else {
      y[j] = iou;
    }
  }
}

// Most boxes of a block are far away. The first loop asks, without dividing, whether any comes near the threshold; its
// test lets through whatever is not certainly below, NaN and negative areas included.
template <class T>
void suppress(simd::Boxes<T> b, long i, long n, T threshold, unsigned char* removed) {
  const Box<T> a{b.x1[i], b.y1[i], b.x2[i], b.y2[i], b.area[i]};
  const T below = threshold * T(0.9999);
  for (long begin = (i + 1) / kBlock * kBlock; begin < n; begin += kBlock) {
    const long end = begin + kBlock;
    int near = 0;
#pragma omp simd reduction(| : near)
    for (long j = begin; j < end; ++j) {
      const T inside = intersection(a, b, j);
      near |= !(inside < below * (a.area + b.area[j] - inside));
    }
    if (!near) continue;
#pragma omp simd
    for (long j = begin; j < end; ++j) {
      const T inside = intersection(a, b, j);
      removed[j] |= inside / (a.area + b.area[j] - inside) > threshold;
    }
  }
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;

[[maybe_unused]] const bool kAdded[] = {
    simd::iou_row.add(kLevel, row<false, float>, row<false, double>),
    simd::giou_row.add(kLevel, row<true, float>, row<true, double>),
    simd::suppress.add(kLevel, suppress<float>, suppress<double>),
};

}  // namespace
}  // namespace tessera
