// Pooling on the CPU; ops/pool.h states the formulas. A window is a product of two ranges (ops/scalar/pool.h): forward
// the input range of an output position, backward, a gather, the output positions whose windows contain an input
// position. Threads own rows of the result; the innermost loop runs over the channels.
#include "ops/scalar/pool.h"

#include <algorithm>

namespace tessera::ops {

namespace {

using Range = scalar::PoolRange<i64>;
using PoolAxis = scalar::PoolAxis<i64>;
using AdaptiveAxis = scalar::AdaptiveAxis<i64>;

// body(pixel, n, i, j): each pixel [n, i, j, :] of the tensor t.
template <class Body>
void for_each_pixel(const Tensor& t, const Body& body) {
  const i64 height = t.dim(1), width = t.dim(2), rows = t.dim(0) * height;
#pragma omp parallel for schedule(static) if (t.numel() > 1 << 14)
  for (i64 r = 0; r < rows; ++r)
    for (i64 j = 0; j < width; ++j) body(r * width + j, r / height, r % height, j);
}

// body(pixel, h, w): each pixel of image n of `map` in the two ranges.
template <class Body>
void for_each_inside(const Tensor& map, i64 n, Range vertical, Range horizontal, const Body& body) {
  const i64 H = map.dim(1), W = map.dim(2);
  for (i64 h = vertical.begin; h < vertical.end; ++h)
    for (i64 w = horizontal.begin; w < horizontal.end; ++w) body((n * H + h) * W + w, h, w);
}

void max_pool2d_cpu(const Tensor& x_, const Pool2dParams& p, Tensor& y_, Tensor& argmax_) {
  const PoolAxis rows(x_.dim(1), y_.dim(1), p), columns(x_.dim(2), y_.dim(2), p);
  const i64 W = x_.dim(2), C = x_.dim(3);
  dispatch_float(x_.dtype(), "max_pool2d", [&]<class T>() {
    const T* x = x_.data<T>();
    T* y = y_.data<T>();
    i32* argmax = argmax_.data<i32>();
    for_each_pixel(y_, [&](i64 to, i64 n, i64 i, i64 j) {
      const Range vertical = rows.window(i), horizontal = columns.window(j);
      T* best = y + to * C;
      i32* where = argmax + to * C;
      std::fill_n(best, C, -std::numeric_limits<T>::infinity());
      std::fill_n(where, C, static_cast<i32>(vertical.begin * W + horizontal.begin));
      for_each_inside(x_, n, vertical, horizontal, [&](i64 from, i64 h, i64 w) {
        const T* pixel = x + from * C;
        const i32 offset = static_cast<i32>(h * W + w);
        for (i64 c = 0; c < C; ++c) {
          const T value = pixel[c];
          const bool take = (value > best[c]) | (value != value);  // the second: NaN
          best[c] = take ? value : best[c];
          where[c] = take ? offset : where[c];
        }
      });
    });
  });
}

void max_pool2d_backward_cpu(const Tensor& gy_, const Tensor& argmax_, const Pool2dParams& p, Tensor& gx_) {
  const PoolAxis rows(gx_.dim(1), gy_.dim(1), p), columns(gx_.dim(2), gy_.dim(2), p);
  const i64 W = gx_.dim(2), C = gx_.dim(3);
  dispatch_float(gy_.dtype(), "max_pool2d_backward", [&]<class T>() {
    const T* gy = gy_.data<T>();
    const i32* argmax = argmax_.data<i32>();
    T* gx = gx_.data<T>();
    for_each_pixel(gx_, [&](i64 to, i64 n, i64 h, i64 w) {
      const i32 offset = static_cast<i32>(h * W + w);
      T* sum = gx + to * C;
      std::fill_n(sum, C, T(0));
      for_each_inside(gy_, n, rows.touching(h), columns.touching(w), [&](i64 from, i64, i64) {
        for (i64 c = 0; c < C; ++c) {
          const T gradient = gy[from * C + c];
          sum[c] += argmax[from * C + c] == offset ? gradient : T(0);
        }
      });
    });
  });
}

template <class Axis>
void average(const Axis& rows, const Axis& columns, const Tensor& x_, Tensor& y_) {
  const i64 C = x_.dim(3);
  dispatch_float(x_.dtype(), OpScope::current(), [&]<class T>() {
    const T* x = x_.data<T>();
    T* y = y_.data<T>();
    for_each_pixel(y_, [&](i64 to, i64 n, i64 i, i64 j) {
      const T divisor = static_cast<T>(rows.extent(i) * columns.extent(j));
      T* mean = y + to * C;
      std::fill_n(mean, C, T(0));
      for_each_inside(x_, n, rows.window(i), columns.window(j), [&](i64 from, i64, i64) {
        const T* pixel = x + from * C;
        for (i64 c = 0; c < C; ++c) mean[c] += pixel[c];
      });
      for (i64 c = 0; c < C; ++c) mean[c] /= divisor;
    });
  });
}

template <class Axis>
void average_backward(const Axis& rows, const Axis& columns, const Tensor& gy_, Tensor& gx_) {
  const i64 C = gx_.dim(3);
  dispatch_float(gy_.dtype(), OpScope::current(), [&]<class T>() {
    const T* gy = gy_.data<T>();
    T* gx = gx_.data<T>();
    for_each_pixel(gx_, [&](i64 to, i64 n, i64 h, i64 w) {
      T* sum = gx + to * C;
      std::fill_n(sum, C, T(0));
      for_each_inside(gy_, n, rows.touching(h), columns.touching(w), [&](i64 from, i64 i, i64 j) {
        const T* pixel = gy + from * C;
        const T share = T(1) / static_cast<T>(rows.extent(i) * columns.extent(j));
        for (i64 c = 0; c < C; ++c) sum[c] += pixel[c] * share;
      });
    });
  });
}

void avg_pool2d_cpu(const Tensor& x, const Pool2dParams& p, Tensor& y) {
  average(PoolAxis(x.dim(1), y.dim(1), p), PoolAxis(x.dim(2), y.dim(2), p), x, y);
}

void avg_pool2d_backward_cpu(const Tensor& gy, const Pool2dParams& p, Tensor& gx) {
  average_backward(PoolAxis(gx.dim(1), gy.dim(1), p), PoolAxis(gx.dim(2), gy.dim(2), p), gy, gx);
}

void adaptive_avg_pool2d_cpu(const Tensor& x, Tensor& y) {
  average(AdaptiveAxis{x.dim(1), y.dim(1)}, AdaptiveAxis{x.dim(2), y.dim(2)}, x, y);
}

void adaptive_avg_pool2d_backward_cpu(const Tensor& gy, Tensor& gx) {
  average_backward(AdaptiveAxis{gx.dim(1), gy.dim(1)}, AdaptiveAxis{gx.dim(2), gy.dim(2)}, gy, gx);
}

const bool kAdded = max_pool2d_kernels.add(DeviceKind::kCpu, max_pool2d_cpu) &&
                    max_pool2d_backward_kernels.add(DeviceKind::kCpu, max_pool2d_backward_cpu) &&
                    avg_pool2d_kernels.add(DeviceKind::kCpu, avg_pool2d_cpu) &&
                    avg_pool2d_backward_kernels.add(DeviceKind::kCpu, avg_pool2d_backward_cpu) &&
                    adaptive_avg_pool2d_kernels.add(DeviceKind::kCpu, adaptive_avg_pool2d_cpu) &&
                    adaptive_avg_pool2d_backward_kernels.add(DeviceKind::kCpu, adaptive_avg_pool2d_backward_cpu);

}  // namespace

}  // namespace tessera::ops
