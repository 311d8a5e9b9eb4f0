// Pooling in CUDA, formulas in ops/pool.h: one thread per result pixel and 16 bytes of channels, or one. A window is a
// product of two ranges, found from the position alone, forward (the input range of an output position) and backward
// (the output positions whose windows contain an input position). Backward gathers, in ascending order. Memory bounds
// all of them: a map is read once from memory, where windows overlap again from the cache, and the other is written
// once.
#include "ops/cuda/map.h"
#include "ops/scalar/pool.h"

namespace tessera {

namespace {

using namespace cuda;

using Range = scalar::PoolRange<int>;
using PoolAxis = scalar::PoolAxis<int, Divider>;
using AdaptiveAxis = scalar::AdaptiveAxis<int>;

// Of kWidth channels: which pixel each maximum was found at.
template <int kWidth>
struct alignas(kWidth < 4 ? 4 * kWidth : 16) Places {
  i32 value[kWidth];
};

// kKernel: the window's side where all its pixels are in flight together, 0 for one of any size.
template <class T, int kWidth, int kKernel>
__global__ void max_pool2d_kernel(PoolAxis rows, PoolAxis columns, MapDims in, MapDims out, const T* __restrict__ x,
                                  T* __restrict__ y, i32* __restrict__ argmax) {
  const int kernel = kKernel > 0 ? kKernel : rows.kernel;
  for (const MapPosition at : positions<kWidth>(out)) {
    const Range vertical = rows.window(at.h), horizontal = columns.window(at.w);
    const int top = rows.padded_begin(at.h), left = columns.padded_begin(at.w);
    Channels<kWidth> best;
    Places<kWidth> where;
    for (int j = 0; j < kWidth; ++j) {
      best.value[j] = -INFINITY;
      where.value[j] = vertical.begin * in.W + horizontal.begin;
    }
#pragma unroll(kKernel > 0 ? kKernel : 1)
    for (int i = 0; i < kernel; ++i)
#pragma unroll(kKernel > 0 ? kKernel : 1)
      for (int k = 0; k < kernel; ++k) {
        const int h = top + i, w = left + k;
        if (h < vertical.begin || h >= vertical.end || w < horizontal.begin || w >= horizontal.end) continue;
        const auto pixel = Channels<kWidth>::load(x + in.at(at.n, h, w, at.c));
        for (int j = 0; j < kWidth; ++j) {
          const float value = pixel.value[j];
          const bool take = value > best.value[j] || value != value;  // the second: NaN
          best.value[j] = take ? value : best.value[j];
          where.value[j] = take ? h * in.W + w : where.value[j];
        }
      }
    best.store(y + at.index);
    *reinterpret_cast<Places<kWidth>*>(argmax + at.index) = where;
  }
}

template <class T, int kWidth>
__global__ void max_pool2d_backward_kernel(PoolAxis rows, PoolAxis columns, MapDims in, MapDims out,
                                           const T* __restrict__ gy, const i32* __restrict__ argmax,
                                           T* __restrict__ gx) {
  for (const MapPosition at : positions<kWidth>(in)) {
    const Range vertical = rows.touching(at.h), horizontal = columns.touching(at.w);
    const i32 offset = at.h * in.W + at.w;
    Channels<kWidth> sum = Channels<kWidth>::zero();
    for (int i = vertical.begin; i < vertical.end; ++i)
      for (int j = horizontal.begin; j < horizontal.end; ++j) {
        const i64 from = out.at(at.n, i, j, at.c);
        const auto gradient = Channels<kWidth>::load(gy + from);
        const auto where = *reinterpret_cast<const Places<kWidth>*>(argmax + from);
        for (int k = 0; k < kWidth; ++k) sum.value[k] += where.value[k] == offset ? gradient.value[k] : 0.0f;
      }
    sum.store(gx + at.index);
  }
}

template <class T, int kWidth, class Axis>
__global__ void average_kernel(Axis rows, Axis columns, MapDims in, MapDims out, const T* x, T* y) {
  for (const MapPosition at : positions<kWidth>(out)) {
    const Range vertical = rows.window(at.h), horizontal = columns.window(at.w);
    const float divisor = static_cast<float>(rows.extent(at.h) * columns.extent(at.w));
    Channels<kWidth> mean = Channels<kWidth>::zero();
    for (int h = vertical.begin; h < vertical.end; ++h)
#pragma unroll 4
      for (int w = horizontal.begin; w < horizontal.end; ++w) {
        const Channels<kWidth> pixel = Channels<kWidth>::load(x + in.at(at.n, h, w, at.c));
        mean.add(1, pixel);
      }
    for (int j = 0; j < kWidth; ++j) mean.value[j] /= divisor;
    mean.store(y + at.index);
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
    sum.store(gx + at.index);
  }
}

// run<T, kWidth>(in, out) for the maps before and behind the windows.
template <class Run>
void dispatch_maps(const Tensor& before, const Tensor& behind, const Run& run) {
  const MapDims in = map_of(before), out = map_of(behind);
  dispatch_storage(before, [&]<class T>() {
    dispatch_pieces<T>(in.C, {before.raw(), behind.raw()},
                       [&]<int kWidth>() { run.template operator()<T, kWidth>(in, out); });
  });
}

void max_pool2d_cuda(const Tensor& x, const ops::Pool2dParams& p, Tensor& y, Tensor& argmax) {
  const PoolAxis rows(x.dim(1), y.dim(1), p), columns(x.dim(2), y.dim(2), p);
  dispatch_maps(x, y, [&]<class T, int kWidth>(const MapDims& in, const MapDims& out) {
    const auto run = [&]<int kKernel>() {
      launch<max_pool2d_kernel<T, kWidth, kKernel>>(over_map<kWidth>(out), rows, columns, in, out, x.device_data<T>(),
                                                    y.device_data<T>(), argmax.device_data<i32>());
    };
    if (p.kernel == 3) return run.template operator()<3>();
    run.template operator()<0>();
  });
}

void max_pool2d_backward_cuda(const Tensor& gy, const Tensor& argmax, const ops::Pool2dParams& p, Tensor& gx) {
  const PoolAxis rows(gx.dim(1), gy.dim(1), p), columns(gx.dim(2), gy.dim(2), p);
  dispatch_maps(gx, gy, [&]<class T, int kWidth>(const MapDims& in, const MapDims& out) {
    launch<max_pool2d_backward_kernel<T, kWidth>>(over_map<kWidth>(in), rows, columns, in, out, gy.device_data<T>(),
                                                  argmax.device_data<i32>(), gx.device_data<T>());
  });
}

template <class Axis>
void average(const Axis& rows, const Axis& columns, const Tensor& x, Tensor& y) {
  dispatch_maps(x, y, [&]<class T, int kWidth>(const MapDims& in, const MapDims& out) {
    launch<average_kernel<T, kWidth, Axis>>(over_map<kWidth>(out), rows, columns, in, out, x.device_data<T>(),
                                            y.device_data<T>());
  });
}

template <class Axis>
void average_backward(const Axis& rows, const Axis& columns, const Tensor& gy, Tensor& gx) {
  dispatch_maps(gx, gy, [&]<class T, int kWidth>(const MapDims& in, const MapDims& out) {
    launch<average_backward_kernel<T, kWidth, Axis>>(over_map<kWidth>(in), rows, columns, in, out, gy.device_data<T>(),
                                                     gx.device_data<T>());
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
