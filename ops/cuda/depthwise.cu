// Depthwise convolution in CUDA. There is no sum over channels, so there is no matrix product to make of it, and memory
// limits it: one thread per result pixel, or kRun of them, and 16 bytes of channels, or one, adds up what its window
// sees, neighbouring threads have neighbouring channels, and the pixels that windows share come from the cache. The
// weight is packed as [T, C] first, T = Kh Kw kernel positions, so that it is read like a pixel.
//
//   forward          y [n, oh, ow, c] = act(sum over t of x[n, oh s - p + kh d, ow s - p + kw d, c] w[t, c] + ...)
//   input gradient   gx[n, h, w, c]   = sum over t of gy[n, (h + p - kh d) / s, (w + p - kw d) / s, c] w[t, c]
//                    where the quotients are whole and inside; by steps of 1 the convolution of gy with the kernel
//                    turned about its middle
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
__global__ void pack_kernel(i64 C, i64 positions, bool turned, const T* weight, T* packed) {
  for (const i64 i : indices(C * positions)) {
    const i64 position = i / C;
    packed[i] = weight[i % C * positions + (turned ? positions - 1 - position : position)];
  }
}

// A convolution's window in 32-bit integers. A stride beyond them is never taken a step of.
struct Window {
  explicit Window(const Conv2dDims& d)
      : height(static_cast<int>(d.Kh)),
        width(static_cast<int>(d.Kw)),
        stride(static_cast<int>(std::min<i64>(d.stride, std::numeric_limits<int>::max()))),
        padding(static_cast<int>(d.padding)),
        dilation(static_cast<int>(d.dilation)) {}
  int height, width, stride, padding, dilation;
};

// visit(kh, kw). kSide: height and width of a kernel all of whose taps are in flight together, 0 for one of any size.
template <int kSide, class Visit>
__device__ void each_tap(const Window& window, Visit&& visit) {
  const int height = kSide > 0 ? kSide : window.height, width = kSide > 0 ? kSide : window.width;
#pragma unroll(kSide > 0 ? kSide : 1)
  for (int kh = 0; kh < height; ++kh)
#pragma unroll(kSide > 0 ? kSide : 1)
    for (int kw = 0; kw < width; ++kw) visit(kh, kw);
}

template <class T, int kWidth>
__global__ void depthwise_kernel(Window window, MapDims in, MapDims out, const T* __restrict__ x,
                                 const T* __restrict__ packed, ConvEpilogue<T> epilogue, T* __restrict__ y) {
  for (const MapPosition at : positions<kWidth>(out)) {
    auto sum = epilogue.template begin<kWidth>(at.c);
    each_tap<0>(window, [&](int kh, int kw) {
      const int h = scalar::seen_place(at.h, kh, window), w = scalar::seen_place(at.w, kw, window);
      const bool inside = h >= 0 && h < in.H && w >= 0 && w < in.W;
      const auto pixel = Channels<kWidth>::load_if(inside, x + (inside ? in.at(at.n, h, w, at.c) : 0)),
                 weight = Channels<kWidth>::load(packed + (kh * window.width + kw) * in.C + at.c);
      sum.add(pixel, weight);
    });
    epilogue.finish(sum, at.index).store(y + at.index);
  }
}

// A kernel of 3 x 3 by steps of kStride. A thread has kRun neighbouring pixels of a row: it reads each weight once for
// all of them, and each pixel of x once for all that see it. runs: the map of y with so many pixels as one.
constexpr int kRun = 2;
template <class T, int kWidth, int kStride>
__global__ void depthwise_runs_kernel(Window window, MapDims in, MapDims out, MapDims runs, const T* __restrict__ x,
                                      const T* __restrict__ packed, ConvEpilogue<T> epilogue, T* __restrict__ y) {
  constexpr int kSide = 3, kSeen = (kRun - 1) * kStride + kSide;
  for (const MapPosition at : positions<kWidth>(runs)) {
    const int first = at.w * kRun, top = at.h * kStride - window.padding, left = first * kStride - window.padding;
    Channels<kWidth> sums[kRun];
    for (auto& sum : sums) sum = epilogue.template begin<kWidth>(at.c);
#pragma unroll
    for (int kh = 0; kh < kSide; ++kh) {
      const int h = top + kh;
      if (h < 0 || h >= in.H) continue;
      Channels<kWidth> weights[kSide], pixels[kSeen];
#pragma unroll
      for (int kw = 0; kw < kSide; ++kw) weights[kw] = Channels<kWidth>::load(packed + (kh * kSide + kw) * in.C + at.c);
      const T* const line = x + in.at(at.n, h, 0, at.c);
#pragma unroll
      for (int k = 0; k < kSeen; ++k) {
        const bool inside = left + k >= 0 && left + k < in.W;
        pixels[k] = Channels<kWidth>::load_if(inside, line + (inside ? (left + k) * in.C : 0));
      }
#pragma unroll
      for (int run = 0; run < kRun; ++run)
#pragma unroll
        for (int kw = 0; kw < kSide; ++kw) sums[run].add(pixels[run * kStride + kw], weights[kw]);
    }
#pragma unroll
    for (int run = 0; run < kRun; ++run)
      if (first + run < out.W) {
        const i64 index = out.at(at.n, at.h, first + run, at.c);
        epilogue.finish(sums[run], index).store(y + index);
      }
  }
}

template <class T, int kWidth, int kSide>
__global__ void depthwise_backward_kernel(Window window, MapDims in, MapDims out, Divider stride,
                                          const T* __restrict__ gy, const T* __restrict__ packed, T* __restrict__ gx) {
  for (const MapPosition at : positions<kWidth>(in)) {
    auto sum = Channels<kWidth>::zero();
    each_tap<kSide>(window, [&](int kh, int kw) {
      const int h = at.h + window.padding - kh * window.dilation, w = at.w + window.padding - kw * window.dilation;
      const u32 down = static_cast<u32>(h), right = static_cast<u32>(w);  // unused where negative
      const int from_h = static_cast<int>(down / stride), from_w = static_cast<int>(right / stride);
      const bool inside =
          h >= 0 && w >= 0 && down % stride == 0 && right % stride == 0 && from_h < out.H && from_w < out.W;
      const auto gradient = Channels<kWidth>::load_if(inside, gy + (inside ? out.at(at.n, from_h, from_w, at.c) : 0)),
                 weight = Channels<kWidth>::load(packed + (kh * window.width + kw) * in.C + at.c);
      sum.add(gradient, weight);
    });
    sum.store(gx + at.index);
  }
}

// sum gy x for one position, over the pixels of gy.
template <class T, int kWidth>
struct PositionSums {
  static constexpr int kSums = 1;
  Window window;
  MapDims in;
  Divider Ho, Wo;
  const T *gy, *x;
  int kh = 0, kw = 0, c = 0;

  __device__ void begin(const Columns&, const ColumnShare& share) {
    kh = static_cast<int>(share.sample) / window.width;
    kw = static_cast<int>(share.sample) % window.width;
    c = static_cast<int>(share.c);
  }
  __device__ ChannelPair<kWidth> read(i64 row, i64 at) const {
    const u32 pixel = static_cast<u32>(row), pixel_row = pixel / Wo;
    const int h = scalar::seen_place(static_cast<int>(pixel_row % Ho), kh, window),
              w = scalar::seen_place(static_cast<int>(pixel % Wo), kw, window);
    const bool inside = h >= 0 && h < in.H && w >= 0 && w < in.W;
    return {Channels<kWidth>::load_if(inside, gy + at),
            Channels<kWidth>::load_if(inside, x + (inside ? in.at(static_cast<int>(pixel_row / Ho), h, w, c) : 0))};
  }
  __device__ void add(i64, const ChannelPair<kWidth>& pair, Channels<kWidth> (&sums)[kSums]) const {
    sums[0].add(pair.first, pair.second);
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

Tensor depthwise_pack(const Tensor& weight, bool turned) {
  const i64 C = weight.dim(0), positions = weight.dim(1) * weight.dim(2);
  Tensor packed = Tensor::empty({positions, C}, weight.dtype(), weight.device());
  dispatch_storage(weight, [&]<class T>() {
    launch<pack_kernel<T>>(over(C * positions), C, positions, turned, weight.device_data<T>(), packed.device_data<T>());
  });
  return packed;
}

void depthwise(const Conv2dDims& d, const Tensor& x, const Tensor& packed, const Tensor& bias, const Tensor& residual,
               ops::Activation activation, Tensor& y) {
  const MapDims in = map_of(x), out = map_of(y), runs(d.N, d.Ho, ceil_div(d.Wo, kRun), d.Ci);
  const Window window(d);
  dispatch_storage(x, [&]<class T>() {
    const T *from = x.device_data<T>(), *weight = packed.device_data<T>();
    T* to = y.device_data<T>();
    const ConvEpilogue<T> epilogue{data_or_null<T>(bias), data_or_null<T>(residual), activation};
    dispatch_pieces<T>(d.Ci, {from, weight, epilogue.bias, epilogue.residual, to}, [&]<int kWidth>() {
      const auto by_runs = [&]<int kStride>() {
        launch<depthwise_runs_kernel<T, kWidth, kStride>>(over_map<kWidth>(runs), window, in, out, runs, from, weight,
                                                          epilogue, to);
      };
      const bool side_3 = d.Kh == 3 && d.Kw == 3 && d.dilation == 1;
      if (side_3 && d.stride == 1) return by_runs.template operator()<1>();
      if (side_3 && d.stride == 2) return by_runs.template operator()<2>();
      launch<depthwise_kernel<T, kWidth>>(over_map<kWidth>(out), window, in, out, from, weight, epilogue, to);
    });
  });
}

void depthwise_backward_input(const Conv2dDims& d, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  if (d.stride == 1 && d.Kh == d.Kw) {
    Conv2dDims turned = d;
    turned.H = d.Ho, turned.W = d.Wo, turned.Ho = d.H, turned.Wo = d.W;
    turned.padding = (d.Kh - 1) * d.dilation - d.padding;
    return depthwise(turned, gy, depthwise_pack(weight, true), Tensor(), Tensor(), ops::Activation::kNone, gx);
  }
  const MapDims in = map_of(gx), out = map_of(gy);
  const Window window(d);
  const Tensor packed = depthwise_pack(weight);
  dispatch_storage(gy, [&]<class T>() {
    const T *from = gy.device_data<T>(), *w = packed.device_data<T>();
    T* to = gx.device_data<T>();
    dispatch_pieces<T>(d.Ci, {from, w, to}, [&]<int kWidth>() {
      const auto run = [&]<int kSide>() {
        launch<depthwise_backward_kernel<T, kWidth, kSide>>(over_map<kWidth>(in), window, in, out, window.stride, from,
                                                            w, to);
      };
      if (d.Kh == 3 && d.Kw == 3) return run.template operator()<3>();
      run.template operator()<0>();
    });
  });
}

void depthwise_backward_weight(const Conv2dDims& d, const Tensor& gy, const Tensor& x, Tensor& gw) {
  const i64 positions = d.Kh * d.Kw, pixels = d.N * d.Ho * d.Wo;
  TESSERA_CHECK(pixels <= std::numeric_limits<i32>::max(),
                "conv2d_backward_weight: gy {} has too many pixels for one kernel; use a smaller batch", gy.shape());
  dispatch_storage(x, [&]<class T>() {
    const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
    dispatch_pieces<T>(d.Ci, {gradient, values}, [&]<int kWidth>() {
      const Columns columns(positions, pixels, d.Ci, kWidth);
      Tensor parts = columns.parts(1, x.device());
      launch<column_sums_kernel<kWidth, PositionSums<T, kWidth>>>(
          columns.launch(), columns, PositionSums<T, kWidth>{Window(d), map_of(x), d.Ho, d.Wo, gradient, values},
          parts.device_data<float>());
      launch<join_chunks_kernel<T>>(Launch{.grid = static_cast<unsigned>(positions * d.Ci), .block = kWarp}, d.Ci,
                                    positions, columns.chunks, parts.device_data<float>(), gw.device_data<T>());
    });
  });
}

}  // namespace tessera::cuda
