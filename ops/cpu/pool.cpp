// Pooling on the CPU; ops/pool.h states the formulas. A window is a product of two ranges, so each axis is prepared
// once: the input range of every output position (forward), and the range of output positions whose windows contain an
// input position (backward, a gather). Threads own rows of the result; the innermost loop runs over the channels.
#include "ops/pool.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace tessera::ops {

namespace {

struct Range {
  i64 begin, end;
};

struct Axis {
  std::vector<Range> windows;   // per output position: the input positions in the map
  std::vector<i64> extents;     // per output position: its factor of the averages' divisor
  std::vector<Range> touching;  // per input position: the output positions whose windows contain it
  i64 in() const { return static_cast<i64>(touching.size()); }
  i64 out() const { return static_cast<i64>(windows.size()); }
};

// Windows begin and end in ascending order, so those that contain one position are consecutive.
void find_touching(Axis& axis, i64 in) {
  for (i64 i = 0, first = 0, last = 0; i < in; ++i) {
    while (first < axis.out() && axis.windows[first].end <= i) ++first;
    while (last < axis.out() && axis.windows[last].begin <= i) ++last;
    axis.touching.push_back({first, std::max(first, last)});
  }
}

Axis pool_axis(i64 in, i64 out, const Pool2dParams& p) {
  Axis axis;
  for (i64 o = 0; o < out; ++o) {
    const i64 begin = o * p.stride - p.padding, end = std::min(begin + p.kernel, in + p.padding);
    const Range inside{std::max<i64>(begin, 0), std::min(end, in)};
    axis.windows.push_back(inside);
    axis.extents.push_back(p.count_include_pad ? end - begin : inside.end - inside.begin);
  }
  find_touching(axis, in);
  return axis;
}

Axis adaptive_axis(i64 in, i64 out) {
  Axis axis;
  for (i64 o = 0; o < out; ++o) {
    axis.windows.push_back({o * in / out, ((o + 1) * in + out - 1) / out});
    axis.extents.push_back(axis.windows.back().end - axis.windows.back().begin);
  }
  find_touching(axis, in);
  return axis;
}

bool worth_threads(const Tensor& t) {
  return t.numel() > 1 << 14;
}

// body(row, n, i): one row of pixels [n, i, :, :] of the tensor t.
template <class Body>
void for_each_row(const Tensor& t, Body&& body) {
  const i64 height = t.dim(1), rows = t.dim(0) * height;
#pragma omp parallel for schedule(static) if (worth_threads(t))
  for (i64 r = 0; r < rows; ++r) body(r, r / height, r % height);
}

template <class T>
void max_forward(const Tensor& x_, const Pool2dParams& params, Tensor& y_, Tensor& argmax_) {
  const i64 W = x_.dim(2), C = x_.dim(3);
  const Axis rows = pool_axis(x_.dim(1), y_.dim(1), params), columns = pool_axis(W, y_.dim(2), params);
  const T* x = x_.data<T>();
  T* y = y_.data<T>();
  i32* argmax = argmax_.data<i32>();
  for_each_row(y_, [&](i64 r, i64 n, i64 i) {
    const Range vertical = rows.windows[i];
    for (i64 j = 0; j < columns.out(); ++j) {
      const Range horizontal = columns.windows[j];
      T* best = y + (r * columns.out() + j) * C;
      i32* where = argmax + (r * columns.out() + j) * C;
      std::fill_n(best, C, -std::numeric_limits<T>::infinity());
      std::fill_n(where, C, static_cast<i32>(vertical.begin * W + horizontal.begin));
      for (i64 h = vertical.begin; h < vertical.end; ++h)
        for (i64 w = horizontal.begin; w < horizontal.end; ++w) {
          const T* pixel = x + ((n * rows.in() + h) * W + w) * C;
          const i32 offset = static_cast<i32>(h * W + w);
          for (i64 c = 0; c < C; ++c) {
            const T value = pixel[c];
            const bool take = (value > best[c]) | (value != value);  // the second: NaN
            best[c] = take ? value : best[c];
            where[c] = take ? offset : where[c];
          }
        }
    }
  });
}

template <class T>
void max_backward(const Tensor& gy_, const Tensor& argmax_, const Pool2dParams& params, Tensor& gx_) {
  const i64 W = gx_.dim(2), C = gx_.dim(3);
  const Axis rows = pool_axis(gx_.dim(1), gy_.dim(1), params), columns = pool_axis(W, gy_.dim(2), params);
  const T* gy = gy_.data<T>();
  const i32* argmax = argmax_.data<i32>();
  T* gx = gx_.data<T>();
  for_each_row(gx_, [&](i64 r, i64 n, i64 h) {
    const Range vertical = rows.touching[h];
    for (i64 w = 0; w < W; ++w) {
      const Range horizontal = columns.touching[w];
      const i32 offset = static_cast<i32>(h * W + w);
      T* sum = gx + (r * W + w) * C;
      std::fill_n(sum, C, T(0));
      for (i64 i = vertical.begin; i < vertical.end; ++i)
        for (i64 j = horizontal.begin; j < horizontal.end; ++j) {
          const i64 at = ((n * rows.out() + i) * columns.out() + j) * C;
          for (i64 c = 0; c < C; ++c) sum[c] += argmax[at + c] == offset ? gy[at + c] : T(0);
        }
    }
  });
}

template <class T>
void average_forward(const Tensor& x_, const Axis& rows, const Axis& columns, Tensor& y_) {
  const i64 C = x_.dim(3);
  const T* x = x_.data<T>();
  T* y = y_.data<T>();
  for_each_row(y_, [&](i64 r, i64 n, i64 i) {
    const Range vertical = rows.windows[i];
    for (i64 j = 0; j < columns.out(); ++j) {
      const Range horizontal = columns.windows[j];
      const T divisor = static_cast<T>(rows.extents[i] * columns.extents[j]);
      T* mean = y + (r * columns.out() + j) * C;
      std::fill_n(mean, C, T(0));
      for (i64 h = vertical.begin; h < vertical.end; ++h)
        for (i64 w = horizontal.begin; w < horizontal.end; ++w) {
          const T* pixel = x + ((n * rows.in() + h) * columns.in() + w) * C;
          for (i64 c = 0; c < C; ++c) mean[c] += pixel[c];
        }
      for (i64 c = 0; c < C; ++c) mean[c] /= divisor;
    }
  });
}

template <class T>
void average_backward(const Tensor& gy_, const Axis& rows, const Axis& columns, Tensor& gx_) {
  const i64 C = gx_.dim(3);
  const T* gy = gy_.data<T>();
  T* gx = gx_.data<T>();
  for_each_row(gx_, [&](i64 r, i64 n, i64 h) {
    const Range vertical = rows.touching[h];
    for (i64 w = 0; w < columns.in(); ++w) {
      const Range horizontal = columns.touching[w];
      T* sum = gx + (r * columns.in() + w) * C;
      std::fill_n(sum, C, T(0));
      for (i64 i = vertical.begin; i < vertical.end; ++i)
        for (i64 j = horizontal.begin; j < horizontal.end; ++j) {
          const T* pixel = gy + ((n * rows.out() + i) * columns.out() + j) * C;
          const i64 divisor = rows.extents[i] * columns.extents[j];
          const T share = T(1) / static_cast<T>(divisor);
          for (i64 c = 0; c < C; ++c) sum[c] += pixel[c] * share;
        }
    }
  });
}

void max_pool2d_cpu(const Tensor& x, const Pool2dParams& p, Tensor& y, Tensor& argmax) {
  dispatch_float(x.dtype(), "max_pool2d", [&]<class T>() { max_forward<T>(x, p, y, argmax); });
}

void max_pool2d_backward_cpu(const Tensor& gy, const Tensor& argmax, const Pool2dParams& p, Tensor& gx) {
  dispatch_float(gy.dtype(), "max_pool2d_backward", [&]<class T>() { max_backward<T>(gy, argmax, p, gx); });
}

void avg_pool2d_cpu(const Tensor& x, const Pool2dParams& p, Tensor& y) {
  dispatch_float(x.dtype(), "avg_pool2d", [&]<class T>() {
    average_forward<T>(x, pool_axis(x.dim(1), y.dim(1), p), pool_axis(x.dim(2), y.dim(2), p), y);
  });
}

void avg_pool2d_backward_cpu(const Tensor& gy, const Pool2dParams& p, Tensor& gx) {
  dispatch_float(gy.dtype(), "avg_pool2d_backward", [&]<class T>() {
    average_backward<T>(gy, pool_axis(gx.dim(1), gy.dim(1), p), pool_axis(gx.dim(2), gy.dim(2), p), gx);
  });
}

void adaptive_avg_pool2d_cpu(const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype(), "adaptive_avg_pool2d", [&]<class T>() {
    average_forward<T>(x, adaptive_axis(x.dim(1), y.dim(1)), adaptive_axis(x.dim(2), y.dim(2)), y);
  });
}

void adaptive_avg_pool2d_backward_cpu(const Tensor& gy, Tensor& gx) {
  dispatch_float(gy.dtype(), "adaptive_avg_pool2d_backward", [&]<class T>() {
    average_backward<T>(gy, adaptive_axis(gx.dim(1), gy.dim(1)), adaptive_axis(gx.dim(2), gy.dim(2)), gx);
  });
}

const bool kAdded = max_pool2d_kernels.add(DeviceKind::kCpu, max_pool2d_cpu) &&
                    max_pool2d_backward_kernels.add(DeviceKind::kCpu, max_pool2d_backward_cpu) &&
                    avg_pool2d_kernels.add(DeviceKind::kCpu, avg_pool2d_cpu) &&
                    avg_pool2d_backward_kernels.add(DeviceKind::kCpu, avg_pool2d_backward_cpu) &&
                    adaptive_avg_pool2d_kernels.add(DeviceKind::kCpu, adaptive_avg_pool2d_cpu) &&
                    adaptive_avg_pool2d_backward_kernels.add(DeviceKind::kCpu, adaptive_avg_pool2d_backward_cpu);

}  // namespace

}  // namespace tessera::ops
