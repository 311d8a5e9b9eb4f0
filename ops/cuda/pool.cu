// Pooling in CUDA, formulas in ops/pool.h: one thread per result pixel and 1 or 4 channels. A window is a product of
// two ranges, found from the position alone, forward (the input range of an output position) and backward (the output
// positions whose windows contain an input position). Backward gathers, in ascending order. Memory bounds all of them:
// a map is read once from memory, where windows overlap again from the cache, and the other is written once.
#include <limits>

#include "ops/cuda/map.h"
#include "ops/pool.h"

namespace tessera {

namespace {

using namespace cuda;

struct Range {
  int begin, end;
};

__device__ int clamp(int value, int lowest, int highest) {
  return value < lowest ? lowest : value > highest ? highest : value;
}

// One axis of windows of one size. Positions are 32-bit numbers, as argmax is: divisions of larger ones would cost more
// than the reading.
struct PoolAxis {
  int in, out, kernel, stride, padding;
  bool count_include_pad;

  PoolAxis(i64 in_, i64 out_, const ops::Pool2dParams& p)
      : in(static_cast<int>(in_)),
        out(static_cast<int>(out_)),
        kernel(static_cast<int>(p.kernel)),
        stride(static_cast<int>(std::min<i64>(p.stride, std::numeric_limits<int>::max()))),
        padding(static_cast<int>(p.padding)),
        count_include_pad(p.count_include_pad) {}

  __device__ int padded_begin(int o) const { return o * stride - padding; }
  __device__ int padded_end(int o) const { return clamp(padded_begin(o) + kernel, 0, in + padding); }
  __device__ Range window(int o) const { return {clamp(padded_begin(o), 0, in), clamp(padded_end(o), 0, in)}; }
  // This axis' factor of an average's divisor.
  __device__ int extent(int o) const {
    const Range inside = window(o);
    return count_include_pad ? padded_end(o) - padded_begin(o) : inside.end - inside.begin;
  }
  // The windows that contain i: o stride - padding <= i < o stride - padding + kernel.
  __device__ Range touching(int i) const {
    const int first = i + padding - kernel;  // the last position whose window would end before i
    return {clamp(first < 0 ? 0 : first / stride + 1, 0, out), clamp((i + padding) / stride + 1, 0, out)};
  }
};

// Windows from floor(o in / out) to ceil((o + 1) in / out).
struct AdaptiveAxis {
  i64 in, out;

  __device__ static Range between(i64 i, i64 from, i64 to) {
    return {static_cast<int>(i * from / to), static_cast<int>(ceil_div((i + 1) * from, to))};
  }
  __device__ Range window(int o) const { return between(o, in, out); }
  __device__ int extent(int o) const { return window(o).end - window(o).begin; }
  __device__ Range touching(int i) const { return between(i, out, in); }
};

template <class T, int kWidth>
__global__ void max_pool2d_kernel(PoolAxis rows, PoolAxis columns, MapDims in, MapDims out, const T* x, T* y,
                                  i32* argmax) {
  for (const MapPosition at : positions<kWidth>(out)) {
    const Range vertical = rows.window(at.h), horizontal = columns.window(at.w);
    Channels<kWidth> best;
    i32 where[kWidth];
    for (int j = 0; j < kWidth; ++j) {
      best.value[j] = -INFINITY;
      where[j] = static_cast<i32>(vertical.begin * in.W + horizontal.begin);
    }
    for (int h = vertical.begin; h < vertical.end; ++h)
      for (int w = horizontal.begin; w < horizontal.end; ++w) {
        const Channels<kWidth> pixel = Channels<kWidth>::load(x + in.at(at.n, h, w, at.c));
        for (int j = 0; j < kWidth; ++j) {
          const float value = pixel.value[j];
          const bool take = value > best.value[j] || value != value;  // the second: NaN
          best.value[j] = take ? value : best.value[j];
          where[j] = take ? static_cast<i32>(h * in.W + w) : where[j];
        }
      }
    const i64 to = out.at(at.n, at.h, at.w, at.c);
    best.store(y + to);
    for (int j = 0; j < kWidth; ++j) argmax[to + j] = where[j];
  }
}

template <class T, int kWidth>
__global__ void max_pool2d_backward_kernel(PoolAxis rows, PoolAxis columns, MapDims in, MapDims out, const T* gy,
                                           const i32* argmax, T* gx) {
  for (const MapPosition at : positions<kWidth>(in)) {
    const Range vertical = rows.touching(at.h), horizontal = columns.touching(at.w);
    const i32 offset = static_cast<i32>(at.h * in.W + at.w);
    Channels<kWidth> sum = Channels<kWidth>::zero();
    for (int i = vertical.begin; i < vertical.end; ++i)
      for (int j = horizontal.begin; j < horizontal.end; ++j) {
        const i64 from = out.at(at.n, i, j, at.c);
        const Channels<kWidth> gradient = Channels<kWidth>::load(gy + from);
        for (int k = 0; k < kWidth; ++k) sum.value[k] += argmax[from + k] == offset ? gradient.value[k] : 0.0f;
      }
    sum.store(gx + in.at(at.n, at.h, at.w, at.c));
  }
}

template <class T, int kWidth, class Axis>
__global__ void average_kernel(Axis rows, Axis columns, MapDims in, MapDims out, const T* x, T* y) {
  for (const MapPosition at : positions<kWidth>(out)) {
    const Range vertical = rows.window(at.h), horizontal = columns.window(at.w);
    const float divisor = static_cast<float>(rows.extent(at.h) * columns.extent(at.w));
    Channels<kWidth> mean = Channels<kWidth>::zero();
    for (int h = vertical.begin; h < vertical.end; ++h)
      for (int w = horizontal.begin; w < horizontal.end; ++w) {
        const Channels<kWidth> pixel = Channels<kWidth>::load(x + in.at(at.n, h, w, at.c));
        mean.add(1, pixel);
      }
    for (int j = 0; j < kWidth; ++j) mean.value[j] /= divisor;
    mean.store(y + out.at(at.n, at.h, at.w, at.c));
  }
}

template <class T, int kWidth, class Axis>
__global__ void average_backward_kernel(Axis rows, Axis columns, MapDims in, MapDims out, const T* gy, T* gx) {
  for (const MapPosition at : positions<kWidth>(in)) {
    const Range vertical = rows.touching(at.h), horizontal = columns.touching(at.w);
    Channels<kWidth> sum = Channels<kWidth>::zero();
    for (int i = vertical.begin; i < vertical.end; ++i)
      for (int j = horizontal.begin; j < horizontal.end; ++j) {
        const Channels<kWidth> gradient = Channels<kWidth>::load(gy + out.at(at.n, i, j, at.c));
        const float share = 1.0f / static_cast<float>(rows.extent(i) * columns.extent(j));
        sum.add(share, gradient);
      }
    sum.store(gx + in.at(at.n, at.h, at.w, at.c));
  }
}

void max_pool2d_cuda(const Tensor& x, const ops::Pool2dParams& p, Tensor& y, Tensor& argmax) {
  const MapDims in = map_of(x), out = map_of(y);
  const PoolAxis rows(in.H, out.H, p), columns(in.W, out.W, p);
  dispatch_storage(x, [&]<class T>() {
    dispatch_width(by_four(in.C, x.raw(), y.raw()), [&]<int kWidth>() {
      launch<max_pool2d_kernel<T, kWidth>>(over_map<kWidth>(out), rows, columns, in, out, x.device_data<T>(),
                                           y.device_data<T>(), argmax.device_data<i32>());
    });
  });
}

void max_pool2d_backward_cuda(const Tensor& gy, const Tensor& argmax, const ops::Pool2dParams& p, Tensor& gx) {
  const MapDims in = map_of(gx), out = map_of(gy);
  const PoolAxis rows(in.H, out.H, p), columns(in.W, out.W, p);
  dispatch_storage(gy, [&]<class T>() {
    dispatch_width(by_four(in.C, gx.raw(), gy.raw()), [&]<int kWidth>() {
      launch<max_pool2d_backward_kernel<T, kWidth>>(over_map<kWidth>(in), rows, columns, in, out, gy.device_data<T>(),
                                                    argmax.device_data<i32>(), gx.device_data<T>());
    });
  });
}

template <class Axis>
void average(const Axis& rows, const Axis& columns, const Tensor& x, Tensor& y) {
  const MapDims in = map_of(x), out = map_of(y);
  dispatch_storage(x, [&]<class T>() {
    dispatch_width(by_four(in.C, x.raw(), y.raw()), [&]<int kWidth>() {
      launch<average_kernel<T, kWidth, Axis>>(over_map<kWidth>(out), rows, columns, in, out, x.device_data<T>(),
                                              y.device_data<T>());
    });
  });
}

template <class Axis>
void average_backward(const Axis& rows, const Axis& columns, const Tensor& gy, Tensor& gx) {
  const MapDims in = map_of(gx), out = map_of(gy);
  dispatch_storage(gy, [&]<class T>() {
    dispatch_width(by_four(in.C, gx.raw(), gy.raw()), [&]<int kWidth>() {
      launch<average_backward_kernel<T, kWidth, Axis>>(over_map<kWidth>(in), rows, columns, in, out,
                                                       gy.device_data<T>(), gx.device_data<T>());
    });
  });
}

void avg_pool2d_cuda(const Tensor& x, const ops::Pool2dParams& p, Tensor& y) {
  average(PoolAxis(x.dim(1), y.dim(1), p), PoolAxis(x.dim(2), y.dim(2), p), x, y);
}

void avg_pool2d_backward_cuda(const Tensor& gy, const ops::Pool2dParams& p, Tensor& gx) {
  average_backward(PoolAxis(gx.dim(1), gy.dim(1), p), PoolAxis(gx.dim(2), gy.dim(2), p), gy, gx);
}

void adaptive_avg_pool2d_cuda(const Tensor& x, Tensor& y) {
  average(AdaptiveAxis{x.dim(1), y.dim(1)}, AdaptiveAxis{x.dim(2), y.dim(2)}, x, y);
}

void adaptive_avg_pool2d_backward_cuda(const Tensor& gy, Tensor& gx) {
  average_backward(AdaptiveAxis{gx.dim(1), gy.dim(1)}, AdaptiveAxis{gx.dim(2), gy.dim(2)}, gy, gx);
}

[[maybe_unused]] const bool kAdded[] = {
    ops::max_pool2d_kernels.add(kDevice, max_pool2d_cuda),
    ops::max_pool2d_backward_kernels.add(kDevice, max_pool2d_backward_cuda),
    ops::avg_pool2d_kernels.add(kDevice, avg_pool2d_cuda),
    ops::avg_pool2d_backward_kernels.add(kDevice, avg_pool2d_backward_cuda),
    ops::adaptive_avg_pool2d_kernels.add(kDevice, adaptive_avg_pool2d_cuda),
    ops::adaptive_avg_pool2d_backward_kernels.add(kDevice, adaptive_avg_pool2d_backward_cuda),
};

}  // namespace

}  // namespace tessera
