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
[[gnu::always_inline]] TESSERA_HD inline T intersection(const Box<T>& a, const Box<T>& b) {
  const T width = smaller(a.x2, b.x2) - larger(a.x1, b.x1), height = smaller(a.y2, b.y2) - larger(a.y1, b.y1);
  return larger(T(0), width) * larger(T(0), height);
}

template <class T>
[[gnu::always_inline]] TESSERA_HD inline T iou(const Box<T>& a, const Box<T>& b) {
  const T inside = intersection(a, b);
  return inside / (a.area + b.area - inside);
}

template <class T>
[[gnu::always_inline]] TESSERA_HD inline T generalized_iou(const Box<T>& a, const Box<T>& b) {
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

// The extended IoU loss and its derivative by coordinate k of the first box.
template <class T>
struct ExtendedIouLoss {
  static constexpr T kBend = T(0.1);  // from here on the loss is linear

  const T *a, *b;  // x1 y1 x2 y2
  T eps;
  T ex1 = smaller(a[0], b[0]), ey1 = smaller(a[1], b[1]);
  T ix1 = larger(a[0], b[0]), iy1 = larger(a[1], b[1]), ix2 = smaller(a[2], b[2]), iy2 = smaller(a[3], b[3]);
  T xmin = smaller(ix1, ix2), xmax = larger(ix1, ix2), ymin = smaller(iy1, iy2), ymax = larger(iy1, iy2);
  T inside =
      (ix2 - ex1) * (iy2 - ey1) + (xmin - ex1) * (ymin - ey1) - (ix1 - ex1) * (ymax - ey1) - (xmax - ex1) * (iy1 - ey1);
  T both = Box<T>::at(a).area + Box<T>::at(b).area - inside + eps;
  T e = 1 - inside / both;

  TESSERA_HD T loss() const { return e < kBend ? e * e / (2 * kBend) : e - kBend / 2; }

  // Of one axis, by its coordinate in the first box; l: of this axis, o: of the other.
  struct Edges {
    T e1, i1, i2, low, high;
  };
  TESSERA_HD static T dinside(const Edges& l, const Edges& o, bool far, T mine, T other) {
    if (far)  // moves i2, and of low and high the one that i2 is
      return share(other, mine) *
             (o.i2 - o.e1 + share(l.i1, l.i2) * (o.low - o.e1) - share(l.i2, l.i1) * (o.i1 - o.e1));
    const T by_outer = o.i1 - o.i2 + o.high - o.low;
    const T by_inner = o.e1 - o.high + share(l.i2, l.i1) * (o.low - o.e1) - share(l.i1, l.i2) * (o.i1 - o.e1);
    return share(other, mine) * by_outer + share(mine, other) * by_inner;
  }
  TESSERA_HD T slope(int k) const {
    const bool far = k >= 2, vertical = k % 2 == 1;
    const Edges x{ex1, ix1, ix2, xmin, xmax}, y{ey1, iy1, iy2, ymin, ymax};
    const T di = dinside(vertical ? y : x, vertical ? x : y, far, a[k], b[k]);
    const T darea = (far ? T(1) : T(-1)) * (vertical ? a[2] - a[0] : a[3] - a[1]);
    const T de = -di / both + inside / both * ((darea - di) / both);
    return e < kBend ? e / kBend * de : de;
  }
};

}  // namespace
}  // namespace tessera::scalar
