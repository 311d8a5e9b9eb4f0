// Two boxes; ops/boxes.h states the formulas. Whoever compares an iou with a threshold is compiled without contraction
// of products and sums (ops/CMakeLists.txt): it is then decided on the same bits everywhere.
#pragma once

#include "ops/scalar/numbers.h"

namespace tessera::scalar {
namespace {

template <class T>
struct Box {
  T x1, y1, x2, y2, area;

  TESSERA_HD static Box at(const T* p) { return {p[0], p[1], p[2], p[3], (p[2] - p[0]) * (p[3] - p[1])}; }
};

// The area that both share.
template <class T>
TESSERA_HD inline T intersection(const Box<T>& a, const Box<T>& b) {
  const T width = smaller(a.x2, b.x2) - larger(a.x1, b.x1), height = smaller(a.y2, b.y2) - larger(a.y1, b.y1);
  return larger(T(0), width) * larger(T(0), height);
}

template <class T>
TESSERA_HD inline T iou(const Box<T>& a, const Box<T>& b) {
  const T inside = intersection(a, b);
  return inside / (a.area + b.area - inside);
}

template <class T>
TESSERA_HD inline T generalized_iou(const Box<T>& a, const Box<T>& b) {
  const T inside = intersection(a, b), both = a.area + b.area - inside;
  const T width = larger(a.x2, b.x2) - smaller(a.x1, b.x1), height = larger(a.y2, b.y2) - smaller(a.y1, b.y1);
  const T around = larger(T(0), width) * larger(T(0), height);
  return inside / both - (around - both) / around;
}

// How much of max(a, b) is a: the derivative, shared by equals.
template <class T>
TESSERA_HD inline T share(T a, T b) {
  return a > b ? T(1) : a == b ? T(0.5) : T(0);
}

// 1 - generalized_iou with eps in both quotients, and its derivative by coordinate k of the first box.
template <class T>
struct GeneralizedIouLoss {
  const T *a, *b;  // x1 y1 x2 y2
  T eps;
  T width = smaller(a[2], b[2]) - larger(a[0], b[0]), height = smaller(a[3], b[3]) - larger(a[1], b[1]);
  bool overlap = width > 0 && height > 0;
  T inside = overlap ? width * height : T(0);
  T both = Box<T>::at(a).area + Box<T>::at(b).area - inside;
  T around_width = larger(a[2], b[2]) - smaller(a[0], b[0]), around_height = larger(a[3], b[3]) - smaller(a[1], b[1]);
  T around = around_width * around_height;

  TESSERA_HD T loss() const { return 1 - (inside / (both + eps) - (around - both) / (around + eps)); }
  TESSERA_HD T slope(int k) const {
    const bool far = k >= 2, vertical = k % 2 == 1;
    const T sign = far ? T(1) : T(-1), iou_base = both + eps, around_base = around + eps;
    const T inner = far ? share(b[k], a[k]) : share(a[k], b[k]);  // does this edge bound the overlap?
    const T outer = far ? share(a[k], b[k]) : share(b[k], a[k]);  // does it bound the box around both?
    const T darea = sign * (vertical ? a[2] - a[0] : a[3] - a[1]);
    const T dinside = overlap ? sign * inner * (vertical ? width : height) : T(0);
    const T daround = sign * outer * (vertical ? around_width : around_height);
    const T dboth = darea - dinside;
    const T diou = dinside / iou_base - inside / iou_base * (dboth / iou_base);
    const T dgap = (daround - dboth) / around_base - (around - both) / around_base * (daround / around_base);
    return dgap - diou;
  }
};

}  // namespace
}  // namespace tessera::scalar
