// Convolution as an implicit matrix product C = A B, one product per group. A and B are never made: a block that needs
// a tile of them looks up, element by element, which pixel and which weight stands there.
//
//                    rows of C              columns of C     depth              A                  B
//   forward          pixels of y            Co / groups      kh, kw, i          patches of x       w
//   input gradient   pixels of x            Ci / groups      kh, kw, o          patches of gy      w
//   weight gradient  Co / groups            kh, kw, i        pixels of y        gy                 patches of x
//
// On tensor cores (ops/cuda/patch_product.h, ops/cuda/patch_gradient.h), where the precision and the channels allow it;
// the weight is turned for the input gradient. Else a block of 256 threads has a tile of 64 x 64 of C, a thread 4 x 4
// elements of it, 16 apart. Over the depth, 16 at a time, the block copies a tile of A and one of B to shared memory,
// from where each value is used 64 times. What bounds it is the arithmetic and the looking up, not memory. A sum is
// taken by one thread in ascending order of the depth: the result does not depend on the order of threads or blocks.
#include "ops/arrange.h"
#include "ops/cuda/conv_epilogue.h"
#include "ops/cuda/patch_gradient.h"
#include "ops/cuda/plain_conv2d.h"
#include "ops/scalar/conv2d.h"

namespace tessera::cuda {

namespace {

using ops::Conv2dDims;

constexpr int kTile = 64, kDepth = 16, kThreads = 256, kApart = 16, kPerThread = kTile / kApart;

// A position in the depth (or the columns) of a product: position in the kernel and channel, the channel innermost.
struct KernelPosition {
  i64 kh, kw, c;
  __device__ KernelPosition(const Conv2dDims& d, i64 k, i64 channels)
      : kh(k / channels / d.Kw), kw(k / channels % d.Kw), c(k % channels) {}
};
struct Pixel {
  i64 n, h, w;
  __device__ Pixel(i64 row, i64 H, i64 W) : n(row / W / H), h(row / W % H), w(row % W) {}
};

// x at the pixel that output pixel `at` sees through a kernel position; 0 outside.
template <class T>
__device__ float patch_of_x(const Conv2dDims& d, const T* x, const Pixel& at, const KernelPosition& position,
                            i64 channel) {
  const i64 h = scalar::seen_place(at.h, position.kh, d), w = scalar::seen_place(at.w, position.kw, d);
  if (h < 0 || h >= d.H || w < 0 || w >= d.W) return 0;
  return load(x + ((at.n * d.H + h) * d.W + w) * d.Ci + channel);
}

// gy at the output pixel that sees input pixel `at` through a kernel position; 0 where there is none.
template <class T>
__device__ float patch_of_gy(const Conv2dDims& d, const T* gy, const Pixel& at, const KernelPosition& position,
                             i64 channel) {
  const i64 h = at.h + d.padding - position.kh * d.dilation, w = at.w + d.padding - position.kw * d.dilation;
  if (h < 0 || w < 0 || h % d.stride != 0 || w % d.stride != 0) return 0;
  if (h / d.stride >= d.Ho || w / d.stride >= d.Wo) return 0;
  return load(gy + ((at.n * d.Ho + h / d.stride) * d.Wo + w / d.stride) * d.Co + channel);
}

__device__ i64 at_weight(const Conv2dDims& d, i64 o, const KernelPosition& position, i64 i) {
  return ((o * d.Kh + position.kh) * d.Kw + position.kw) * (d.Ci / d.groups) + i;
}

// The three products. kDeepA: A is contiguous along the depth (else along its rows); kDeepB likewise (else along its
// columns). Neighbouring threads copy neighbouring elements.
template <class T>
struct Forward {
  static constexpr bool kDeepA = true, kDeepB = true;
  Conv2dDims d;
  const T *x, *weight;
  ConvEpilogue<T> epilogue;
  T* y;

  __device__ i64 rows() const { return d.N * d.Ho * d.Wo; }
  __device__ i64 columns() const { return d.Co / d.groups; }
  __device__ i64 depth() const { return d.Kh * d.Kw * (d.Ci / d.groups); }
  __device__ float a(i64 g, i64 row, i64 k) const {
    const KernelPosition position(d, k, d.Ci / d.groups);
    return patch_of_x(d, x, Pixel(row, d.Ho, d.Wo), position, g * (d.Ci / d.groups) + position.c);
  }
  __device__ float b(i64 g, i64 k, i64 column) const { return load(weight + (g * columns() + column) * depth() + k); }
  __device__ void put(i64 g, i64 row, i64 column, float sum) const {
    const i64 o = g * columns() + column, at = row * d.Co + o;
    store(y + at, epilogue(sum, at, o));
  }
};

template <class T>
struct BackwardInput {
  static constexpr bool kDeepA = true, kDeepB = false;
  Conv2dDims d;
  const T *gy, *weight;
  T* gx;

  __device__ i64 rows() const { return d.N * d.H * d.W; }
  __device__ i64 columns() const { return d.Ci / d.groups; }
  __device__ i64 depth() const { return d.Kh * d.Kw * (d.Co / d.groups); }
  __device__ float a(i64 g, i64 row, i64 k) const {
    const KernelPosition position(d, k, d.Co / d.groups);
    return patch_of_gy(d, gy, Pixel(row, d.H, d.W), position, g * (d.Co / d.groups) + position.c);
  }
  __device__ float b(i64 g, i64 k, i64 column) const {
    const KernelPosition position(d, k, d.Co / d.groups);
    return load(weight + at_weight(d, g * (d.Co / d.groups) + position.c, position, column));
  }
  __device__ void put(i64 g, i64 row, i64 column, float sum) const {
    store(gx + row * d.Ci + g * columns() + column, sum);
  }
};

template <class T>
struct BackwardWeight {
  static constexpr bool kDeepA = false, kDeepB = false;
  Conv2dDims d;
  const T *gy, *x;
  T* gw;

  __device__ i64 rows() const { return d.Co / d.groups; }
  __device__ i64 columns() const { return d.Kh * d.Kw * (d.Ci / d.groups); }
  __device__ i64 depth() const { return d.N * d.Ho * d.Wo; }
  __device__ float a(i64 g, i64 row, i64 k) const { return load(gy + k * d.Co + g * rows() + row); }
  __device__ float b(i64 g, i64 k, i64 column) const {
    const KernelPosition position(d, column, d.Ci / d.groups);
    return patch_of_x(d, x, Pixel(k, d.Ho, d.Wo), position, g * (d.Ci / d.groups) + position.c);
  }
  __device__ void put(i64 g, i64 row, i64 column, float sum) const {
    store(gw + (g * rows() + row) * columns() + column, sum);
  }
};

struct Tiles {
  float a[kDepth][kTile + 1], b[kDepth][kTile + 1];  // one more: a column's elements lie in different banks
};

template <class Product>
__global__ void implicit_product_kernel(Product p) {
  auto& tiles = shared_memory<Tiles>();
  const int t = static_cast<int>(threadIdx.x), first_row = t / kApart, first_column = t % kApart;
  const i64 row0 = static_cast<i64>(blockIdx.x) * kTile, column0 = static_cast<i64>(blockIdx.y) * kTile, g = blockIdx.z,
            rows = p.rows(), columns = p.columns(), depth = p.depth();
  float sums[kPerThread][kPerThread] = {};
  for (i64 k0 = 0; k0 < depth; k0 += kDepth) {
    for (int i = t; i < kTile * kDepth; i += kThreads) {
      const int k = Product::kDeepA ? i % kDepth : i / kTile, row = Product::kDeepA ? i / kDepth : i % kTile;
      tiles.a[k][row] = k0 + k < depth && row0 + row < rows ? p.a(g, row0 + row, k0 + k) : 0.0f;
    }
    for (int i = t; i < kTile * kDepth; i += kThreads) {
      const int k = Product::kDeepB ? i % kDepth : i / kTile, column = Product::kDeepB ? i / kDepth : i % kTile;
      tiles.b[k][column] = k0 + k < depth && column0 + column < columns ? p.b(g, k0 + k, column0 + column) : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < kDepth; ++k)
      for (int i = 0; i < kPerThread; ++i)
        for (int j = 0; j < kPerThread; ++j)
          sums[i][j] += tiles.a[k][first_row + i * kApart] * tiles.b[k][first_column + j * kApart];
    __syncthreads();
  }
#pragma unroll  // sums stays in registers
  for (int i = 0; i < kPerThread; ++i)
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) {
      const i64 row = row0 + first_row + i * kApart, column = column0 + first_column + j * kApart;
      if (row < rows && column < columns) p.put(g, row, column, sums[i][j]);
    }
}

template <class Product>
void run(const Product& p, i64 rows, i64 columns) {
  launch<implicit_product_kernel<Product>>(
      Launch{.grid = {static_cast<unsigned>(ceil_div(rows, kTile)), static_cast<unsigned>(ceil_div(columns, kTile)),
                      static_cast<unsigned>(p.d.groups)},
             .block = kThreads},
      p);
}

// --- On tensor cores. Block z: group.

// The sizes as 32-bit numbers, which divide faster.
struct NarrowDims {
  int H, W, Ci, Ho, Wo, Co, Kw, stride, padding, dilation;
  explicit NarrowDims(const Conv2dDims& d)
      : H(narrow(d.H)),
        W(narrow(d.W)),
        Ci(narrow(d.Ci)),
        Ho(narrow(d.Ho)),
        Wo(narrow(d.Wo)),
        Co(narrow(d.Co)),
        Kw(narrow(d.Kw)),
        stride(narrow(d.stride)),
        padding(narrow(d.padding)),
        dilation(narrow(d.dilation)) {}
  static int narrow(i64 size) { return static_cast<int>(size); }
};

// Where channel c of x lies that an output pixel sees at position t; null outside.
template <class T>
__device__ const T* seen_by(const NarrowDims& n, const T* x, int pixel, int t, int c) {
  const int h = scalar::seen_place(pixel / n.Wo % n.Ho, t / n.Kw, n), w = scalar::seen_place(pixel % n.Wo, t % n.Kw, n);
  const bool inside = h >= 0 && h < n.H && w >= 0 && w < n.W;
  return inside ? x + (((pixel / n.Wo / n.Ho * n.H + h) * n.W + w) * n.Ci + c) : nullptr;
}

template <class Tile, class T>
__global__ void conv2d_tensor_kernel(PatchDims d, NarrowDims n, const T* x, const T* weight, ConvEpilogue<T> epilogue,
                                     T* y) {
  const int group = static_cast<int>(blockIdx.z);
  const auto patch = [&](int pixel, int t, int i) { return seen_by(n, x, pixel, t, group * d.width + i); };
  patch_product<Tile, CopiedRows>(d, weight + group * d.columns * d.positions * d.width, patch,
                                  [&](int pixel, int column, float sum) {
                                    const int o = group * d.columns + column, at = pixel * n.Co + o;
                                    store(y + at, epilogue(sum, at, o));
                                  });
}

// turned: the weight as [groups, I, T, O].
template <class Tile, class T>
__global__ void conv2d_backward_input_tensor_kernel(PatchDims d, NarrowDims n, const T* gy, const T* turned, T* gx) {
  const int group = static_cast<int>(blockIdx.z);
  const auto reader = [&](int pixel, int t, int o) {  // the output pixel that sees this one at position t
    const int h = pixel / n.W % n.H + n.padding - t / n.Kw * n.dilation,
              w = pixel % n.W + n.padding - t % n.Kw * n.dilation;
    const int v = h / n.stride, u = w / n.stride;
    const bool is_one = h >= 0 && w >= 0 && v * n.stride == h && u * n.stride == w && v < n.Ho && u < n.Wo;
    return is_one ? gy + (((pixel / n.W / n.H * n.Ho + v) * n.Wo + u) * n.Co + group * d.width + o) : nullptr;
  };
  patch_product<Tile, CopiedRows>(
      d, turned + group * d.columns * d.positions * d.width, reader,
      [&](int pixel, int column, float sum) { store(gx + (pixel * n.Ci + group * d.columns + column), sum); });
}

// gw: [parts, groups, O, T, I]. Block z: group and part.
template <class Tile, class T>
__global__ void conv2d_backward_weight_tensor_kernel(PatchDims d, NarrowDims n, int part_rows, int parts, const T* gy,
                                                     const T* x, float* gw) {
  const int group = static_cast<int>(blockIdx.z) / parts, part = static_cast<int>(blockIdx.z) % parts;
  const i64 first = (i64{part} * (gridDim.z / parts) + group) * d.columns;
  patch_gradient<Tile>(
      d, part, part_rows, [&](int pixel, int o) { return gy + (pixel * n.Co + group * d.columns + o); },
      [&](int pixel, int t, int i) { return seen_by(n, x, pixel, t, group * d.width + i); },
      [&](int o, int t, int i, float sum) { gw[((first + o) * d.positions + t) * d.width + i] = sum; });
}

PatchDims patch_dims(const Conv2dDims& d, i64 rows, i64 columns, i64 width) {
  return {static_cast<int>(rows), static_cast<int>(columns), static_cast<int>(d.Kh * d.Kw), static_cast<int>(width)};
}

// All that is counted along the way fits an int.
template <class T, class... Rows>
bool conv2d_on_tensor_cores(const Conv2dDims& d, i64 width, const Rows*... rows) {
  const i64 reach = d.padding + (d.Kh + d.Kw) * d.dilation + std::max(d.Ho, d.Wo) * d.stride + d.H + d.W;
  return on_tensor_cores<T>(width, std::max({d.N * d.H * d.W * d.Ci, d.N * d.Ho * d.Wo * d.Co, d.stride, reach}),
                            rows...);
}

}  // namespace

void plain_conv2d(const Conv2dDims& d, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, ops::Activation activation, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    const T *from = x.device_data<T>(), *w = weight.device_data<T>();
    const ConvEpilogue<T> epilogue{data_or_null<T>(bias), data_or_null<T>(residual), activation};
    if (conv2d_on_tensor_cores<T>(d, d.group_in(), from, w)) {
      const PatchDims p = patch_dims(d, d.N * d.Ho * d.Wo, d.group_out(), d.group_in());
      return dispatch_tile<T>(p.columns, [&]<class Tile>() {
        launch<conv2d_tensor_kernel<Tile, T>>(Tile::launch_of(p.rows, p.columns, d.groups), p, NarrowDims(d), from, w,
                                              epilogue, y.device_data<T>());
      });
    }
    run(Forward<T>{d, from, w, epilogue, y.device_data<T>()}, d.N * d.Ho * d.Wo, d.group_out());
  });
}

void plain_conv2d_backward_input(const Conv2dDims& d, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  dispatch_storage(gy, [&]<class T>() {
    if (conv2d_on_tensor_cores<T>(d, d.group_out(), gy.device_data<T>())) {
      const PatchDims p = patch_dims(d, d.N * d.H * d.W, d.group_in(), d.group_out());
      const Shape by_group{d.groups, p.width, p.positions, p.columns};
      const Tensor turned = ops::permute(weight.reshape(by_group), {0, 3, 2, 1});
      return dispatch_tile<T>(p.columns, [&]<class Tile>() {
        launch<conv2d_backward_input_tensor_kernel<Tile, T>>(Tile::launch_of(p.rows, p.columns, d.groups), p,
                                                             NarrowDims(d), gy.device_data<T>(),
                                                             turned.device_data<T>(), gx.device_data<T>());
      });
    }
    run(BackwardInput<T>{d, gy.device_data<T>(), weight.device_data<T>(), gx.device_data<T>()}, d.N * d.H * d.W,
        d.group_in());
  });
}

void plain_conv2d_backward_weight(const Conv2dDims& d, const Tensor& gy, const Tensor& x, Tensor& gw) {
  dispatch_storage(gy, [&]<class T>() {
    const T *g = gy.device_data<T>(), *from = x.device_data<T>();
    if (conv2d_on_tensor_cores<T>(d, d.group_out(), g) && conv2d_on_tensor_cores<T>(d, d.group_in(), from)) {
      const PatchDims p = patch_dims(d, d.N * d.Ho * d.Wo, d.group_out(), d.group_in());
      return dispatch_tile<T, 64>(p.width, [&]<class Tile>() {
        Launch shape = Tile::launch_of(p.columns, 0);
        shape.grid.y = static_cast<unsigned>(p.positions * ceil_div(p.width, Tile::kColumns));
        in_parts<T>(p.rows, i64{shape.grid.x} * shape.grid.y * d.groups, gw,
                    [&](i64 part_rows, i64 parts, float* sums) {
                      shape.grid.z = static_cast<unsigned>(d.groups * parts);
                      launch<conv2d_backward_weight_tensor_kernel<Tile, T>>(
                          shape, p, NarrowDims(d), static_cast<int>(part_rows), static_cast<int>(parts), g, from, sums);
                    });
      });
    }
    run(BackwardWeight<T>{d, g, from, gw.device_data<T>()}, d.group_out(), d.Kh * d.Kw * d.group_in());
  });
}

}  // namespace tessera::cuda
