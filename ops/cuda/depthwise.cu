// Depthwise convolution in CUDA. There is no sum over channels, so there is no matrix product to make of it, and memory
// limits it: one thread per result pixel and 1 or 4 channels adds up what its window sees, neighbouring threads have
// neighbouring channels, and the pixels that windows share come from the cache. The weight is turned to [T, C] first,
// T = Kh Kw kernel positions, so that it is read like a pixel.
//
//   forward          y [n, oh, ow, c] = act(sum over t of x[n, oh s - p + kh d, ow s - p + kw d, c] w[t, c] + ...)
//   input gradient   gx[n, h, w, c]   = sum over t of gy[n, (h + p - kh d) / s, (w + p - kw d) / s, c] w[t, c]
//                    where the quotients are whole and inside
//   weight gradient  gw[c, t]         = sum over pixels of gy of gy x: sums down the columns (ops/cuda/columns.h), a
//                    "sample" per kernel position, whose chunks one warp per weight adds up
#include "ops/cuda/columns.h"
#include "ops/cuda/conv_epilogue.h"
#include "ops/cuda/depthwise.h"
#include "ops/cuda/map.h"
#include "ops/scalar/conv2d.h"

namespace tessera::cuda {

namespace {

using ops::Conv2dDims;

template <class T>
__global__ void pack_kernel(i64 C, i64 positions, const T* weight, T* packed) {
  for (const i64 i : indices(C * positions)) packed[i] = weight[i % C * positions + i / C];
}

template <class T, int kWidth>
__global__ void depthwise_kernel(Conv2dDims d, MapDims in, MapDims out, const T* x, const T* packed,
                                 ConvEpilogue<T> epilogue, T* y) {
  for (const MapPosition at : positions<kWidth>(out)) {
    auto sum = Channels<kWidth>::zero();
    for (i64 kh = 0; kh < d.Kh; ++kh)
      for (i64 kw = 0; kw < d.Kw; ++kw) {
        const i64 h = scalar::seen_place<i64>(at.h, kh, d), w = scalar::seen_place<i64>(at.w, kw, d);
        if (h < 0 || h >= in.H || w < 0 || w >= in.W) continue;
        const auto pixel = Channels<kWidth>::load(x + in.at(at.n, h, w, at.c)),
                   weight = Channels<kWidth>::load(packed + (kh * d.Kw + kw) * in.C + at.c);
        for (int j = 0; j < kWidth; ++j) sum.value[j] += pixel.value[j] * weight.value[j];
      }
    const i64 to = out.at(at.n, at.h, at.w, at.c);
    for (int j = 0; j < kWidth; ++j) sum.value[j] = epilogue(sum.value[j], to + j, at.c + j);
    sum.store(y + to);
  }
}

template <class T, int kWidth>
__global__ void depthwise_backward_kernel(Conv2dDims d, MapDims in, MapDims out, const T* gy, const T* packed, T* gx) {
  const int stride = static_cast<int>(std::min<i64>(d.stride, std::numeric_limits<int>::max())),
            padding = static_cast<int>(d.padding), dilation = static_cast<int>(d.dilation);
  for (const MapPosition at : positions<kWidth>(in)) {
    auto sum = Channels<kWidth>::zero();
    for (int kh = 0; kh < d.Kh; ++kh) {
      const int h = at.h + padding - kh * dilation;
      if (h < 0 || h % stride != 0 || h / stride >= out.H) continue;
      for (int kw = 0; kw < d.Kw; ++kw) {
        const int w = at.w + padding - kw * dilation;
        if (w < 0 || w % stride != 0 || w / stride >= out.W) continue;
        const auto gradient = Channels<kWidth>::load(gy + out.at(at.n, h / stride, w / stride, at.c)),
                   weight = Channels<kWidth>::load(packed + (kh * d.Kw + kw) * in.C + at.c);
        for (int j = 0; j < kWidth; ++j) sum.value[j] += gradient.value[j] * weight.value[j];
      }
    }
    sum.store(gx + in.at(at.n, at.h, at.w, at.c));
  }
}

// sum gy x for one position, over the pixels of gy.
template <class T, int kWidth>
struct PositionSums {
  static constexpr int kSums = 1;
  Conv2dDims d;
  MapDims in;
  const T *gy, *x;
  i64 h0 = 0, w0 = 0;  // where the position looks from output pixel (0, 0)

  __device__ void begin(i64 position, i64) {
    h0 = position / d.Kw * d.dilation - d.padding;
    w0 = position % d.Kw * d.dilation - d.padding;
  }
  __device__ void add(i64, i64 row, i64 c, Channels<kWidth> (&sums)[kSums]) const {
    const u32 pixel_row = static_cast<u32>(row) / static_cast<u32>(d.Wo), Ho = static_cast<u32>(d.Ho);
    const i64 n = pixel_row / Ho, h = pixel_row % Ho * d.stride + h0, w = (row - pixel_row * d.Wo) * d.stride + w0;
    if (h < 0 || h >= in.H || w < 0 || w >= in.W) return;
    const auto gradient = Channels<kWidth>::load(gy + row * in.C + c),
               pixel = Channels<kWidth>::load(x + in.at(n, h, w, c));
    for (int j = 0; j < kWidth; ++j) sums[0].value[j] += gradient.value[j] * pixel.value[j];
  }
};

// One warp per weight: parts [positions, C, chunks] to gw [C, positions].
template <class T>
__global__ void join_chunks_kernel(i64 C, i64 positions, i64 chunks, const float* parts, T* gw) {
  const i64 position = blockIdx.x / C, c = blockIdx.x % C;
  double sum = 0;
  for (i64 k = lane(); k < chunks; k += kWarp) sum += parts[(position * C + c) * chunks + k];
  sum = warp_sum(sum);
  if (lane() == 0) store(gw + c * positions + position, static_cast<float>(sum));
}

}  // namespace

Tensor depthwise_pack(const Tensor& weight) {
  const i64 C = weight.dim(0), positions = weight.dim(1) * weight.dim(2);
  Tensor packed = Tensor::empty({positions, C}, weight.dtype(), weight.device());
  dispatch_storage(weight, [&]<class T>() {
    launch<pack_kernel<T>>(over(C * positions), C, positions, weight.device_data<T>(), packed.device_data<T>());
  });
  return packed;
}

void depthwise(const Conv2dDims& d, const Tensor& x, const Tensor& packed, const Tensor& bias, const Tensor& residual,
               ops::Activation activation, Tensor& y) {
  const MapDims in = map_of(x), out = map_of(y);
  dispatch_storage(x, [&]<class T>() {
    const T *from = x.device_data<T>(), *weight = packed.device_data<T>();
    T* to = y.device_data<T>();
    const ConvEpilogue<T> epilogue{data_or_null<T>(bias), data_or_null<T>(residual), activation};
    dispatch_width(by_four(d.Ci, from, weight, to), [&]<int kWidth>() {
      launch<depthwise_kernel<T, kWidth>>(over_map<kWidth>(out), d, in, out, from, weight, epilogue, to);
    });
  });
}

void depthwise_backward_input(const Conv2dDims& d, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  const MapDims in = map_of(gx), out = map_of(gy);
  const Tensor packed = depthwise_pack(weight);
  dispatch_storage(gy, [&]<class T>() {
    const T *from = gy.device_data<T>(), *w = packed.device_data<T>();
    T* to = gx.device_data<T>();
    dispatch_width(by_four(d.Ci, from, w, to), [&]<int kWidth>() {
      launch<depthwise_backward_kernel<T, kWidth>>(over_map<kWidth>(in), d, in, out, from, w, to);
    });
  });
}

void depthwise_backward_weight(const Conv2dDims& d, const Tensor& gy, const Tensor& x, Tensor& gw) {
  const i64 positions = d.Kh * d.Kw, pixels = d.N * d.Ho * d.Wo;
  TESSERA_CHECK(pixels <= std::numeric_limits<u32>::max(),
                "conv2d_backward_weight: gy {} has too many pixels for one kernel; use a smaller batch", gy.shape());
  dispatch_storage(x, [&]<class T>() {
    const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
    dispatch_width(by_four(d.Ci, gradient, values), [&]<int kWidth>() {
      const Columns columns(positions, pixels, d.Ci, kWidth);
      Tensor parts = columns.parts(1, x.device());
      launch<column_sums_kernel<kWidth, PositionSums<T, kWidth>>>(
          columns.launch(), columns, PositionSums<T, kWidth>{d, map_of(x), gradient, values},
          parts.device_data<float>());
      launch<join_chunks_kernel<T>>(Launch{.grid = static_cast<unsigned>(positions * d.Ci), .block = kWarp}, d.Ci,
                                    positions, columns.chunks, parts.device_data<float>(), gw.device_data<T>());
    });
  });
}

}  // namespace tessera::cuda
