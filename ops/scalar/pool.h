// One axis of pooling windows; ops/pool.h states the formulas. I: the integers of the positions. CUDA takes 32-bit
// ones, as argmax is: divisions of larger ones would cost more than the reading.
#pragma once

#include <limits>

#include "ops/pool.h"
#include "ops/scalar/numbers.h"

namespace tessera::scalar {
namespace {

template <class I>
struct PoolRange {
  I begin, end;
};

// Windows of one size. Divisor: what integers are divided by the stride with.
template <class I, class Divisor = I>
struct PoolAxis {
  I in, out, kernel, stride, padding;
  Divisor by_stride;
  bool count_include_pad;

  PoolAxis(i64 in_, i64 out_, const ops::Pool2dParams& p)
      : in(static_cast<I>(in_)),
        out(static_cast<I>(out_)),
        kernel(static_cast<I>(p.kernel)),
        stride(static_cast<I>(smaller(p.stride, i64{std::numeric_limits<I>::max()}))),
        padding(static_cast<I>(p.padding)),
        by_stride(stride),
        count_include_pad(p.count_include_pad) {}

  TESSERA_HD I padded_begin(I o) const { return o * stride - padding; }
  TESSERA_HD I padded_end(I o) const { return clamped<I>(padded_begin(o) + kernel, 0, in + padding); }
  TESSERA_HD PoolRange<I> window(I o) const {
    return {clamped<I>(padded_begin(o), 0, in), clamped<I>(padded_end(o), 0, in)};
  }
  // This axis' factor of an average's divisor.
  TESSERA_HD I extent(I o) const {
    const PoolRange<I> inside = window(o);
    return count_include_pad ? padded_end(o) - padded_begin(o) : inside.end - inside.begin;
  }
  // The windows that contain i: o stride - padding <= i < o stride - padding + kernel.
  TESSERA_HD PoolRange<I> touching(I i) const {
    const I first = i + padding - kernel;  // the last position whose window would end before i
    return {clamped<I>(first < 0 ? 0 : first / by_stride + 1, 0, out),
            clamped<I>((i + padding) / by_stride + 1, 0, out)};
  }
};

// Windows from floor(o in / out) to ceil((o + 1) in / out).
template <class I>
struct AdaptiveAxis {
  i64 in, out;

  TESSERA_HD static PoolRange<I> between(i64 i, i64 from, i64 to) {
    return {static_cast<I>(i * from / to), static_cast<I>(((i + 1) * from + to - 1) / to)};
  }
  TESSERA_HD PoolRange<I> window(I o) const { return between(o, in, out); }
  TESSERA_HD I extent(I o) const { return window(o).end - window(o).begin; }
  TESSERA_HD PoolRange<I> touching(I i) const { return between(i, out, in); }
};

}  // namespace
}  // namespace tessera::scalar
