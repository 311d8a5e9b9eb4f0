// Transposed convolution on the CPU; ops/conv_transpose2d.h states the formula.
//
// In general it is the input gradient of a convolution, which exists, and then the bias in a pass of its own. Where the
// kernel steps by its own size (2x2 with stride 2, as the mask heads have it), no two pixels of x meet: row kh of the
// kernel takes pixel (h, w) to the Kw neighbouring pixels (h Kh + kh, w Kw ...) of y, so that each kh is one product
//
//   [N H W, Cin] x [Cin, Kw Cout]        its rows written where they belong, with the bias
//
// Few channels of y (one, where a mask head ends with it) would leave a product's tiles nearly empty. Then what each
// pixel of x gives to its Kh Kw neighbours is one product, whose numbers each pixel of y gathers:
//
//   [N H W, Cin] x [Cin, Kh Kw Cout]
#include "ops/conv_transpose2d.h"

#include <vector>

#include "ops/cpu/gemm.h"

namespace tessera::ops {
namespace {

bool is_tiling(const Conv2dDims& dims) {
  return dims.Kh == dims.stride && dims.Kw == dims.stride && dims.padding == 0 && dims.dilation == 1 &&
         dims.groups == 1 && dims.H == dims.Ho * dims.Kh && dims.W == dims.Wo * dims.Kw;
}

template <class T>
void tile(const Conv2dDims& dims, const T* x, const T* weight, const T* bias, T* y) {
  const i64 columns = dims.Kw * dims.Ci, pitch = dims.W * dims.Ci;
  std::vector<T> biases;
  for (i64 i = 0; bias && i < dims.Kh * dims.Kw; ++i) biases.insert(biases.end(), bias, bias + dims.Ci);
  cpu::run(cpu::Gemm<T>{.items = dims.Kh,
                        .rows = dims.N * dims.Ho * dims.Wo,
                        .columns = columns,
                        .run_depth = dims.Co,
                        .a_rows = cpu::matrix_rows(x, dims.Co, 0),
                        .pack_b = cpu::pack_b_plain(weight, dims.Kh * columns, columns),
                        .c_rows =
                            [=](i64 kh, i64 row, i64 count, T** rows) {
                              for (i64 i = 0; i < count; ++i) {
                                const i64 line = (row + i) / dims.Wo, w = (row + i) % dims.Wo;  // line: of all images
                                rows[i] = y + (line * dims.Kh + kh) * pitch + w * columns;
                              }
                            },
                        .bias = biases.empty() ? nullptr : biases.data()});
}

// What the gather needs is never more than x itself.
bool has_few_channels(const Conv2dDims& dims) {
  constexpr i64 kFewChannels = 8;
  return dims.groups == 1 && dims.Ci <= kFewChannels && dims.Kh * dims.Kw * dims.Ci <= dims.Co;
}

// For o * stride - padding + k * dilation = at: the o of this k, or -1.
i64 source_of(const Conv2dDims& dims, i64 at, i64 k, i64 extent) {
  const i64 from = at + dims.padding - k * dims.dilation;
  return from >= 0 && from % dims.stride == 0 && from / dims.stride < extent ? from / dims.stride : -1;
}

// parts [N Ho Wo, Kh Kw Ci] -> y. Kernel positions add up in their order.
template <class T>
void gather(const Conv2dDims& dims, const T* parts, const T* bias, T* y) {
  const i64 C = dims.Ci, width = dims.Kh * dims.Kw * C;
#pragma omp parallel for schedule(static)
  for (i64 line = 0; line < dims.N * dims.H; ++line) {
    T* row = y + line * dims.W * C;
    for (i64 i = 0; i < dims.W * C; ++i) row[i] = bias ? bias[i % C] : T(0);
    for (i64 kh = 0; kh < dims.Kh; ++kh) {
      const i64 ho = source_of(dims, line % dims.H, kh, dims.Ho);
      if (ho < 0) continue;
      const T* source = parts + (line / dims.H * dims.Ho + ho) * dims.Wo * width + kh * dims.Kw * C;
      for (i64 kw = 0; kw < dims.Kw; ++kw)
        for (i64 wo = 0; wo < dims.Wo; ++wo) {
          const i64 w = wo * dims.stride - dims.padding + kw * dims.dilation;
          if (w < 0 || w >= dims.W) continue;
          for (i64 c = 0; c < C; ++c) row[w * C + c] += source[wo * width + kw * C + c];
        }
    }
  }
}

template <class T>
void multiply_and_gather(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const T* bias, Tensor& y) {
  const i64 pixels = dims.N * dims.Ho * dims.Wo, columns = dims.Kh * dims.Kw * dims.Ci;
  Tensor parts = Tensor::empty({pixels, columns}, x.dtype());
  cpu::run(cpu::Gemm<T>{.rows = pixels,
                        .columns = columns,
                        .run_depth = dims.Co,
                        .a_rows = cpu::matrix_rows(x.data<T>(), dims.Co, 0),
                        .pack_b = cpu::pack_b_plain(weight.data<T>(), columns, 0),
                        .c_rows = cpu::matrix_rows_out(parts.data<T>(), columns, 0)});
  gather(dims, parts.data<T>(), bias, y.data<T>());
}

template <class T>
void add_bias(const T* bias, i64 pixels, i64 C, T* y) {
#pragma omp parallel for schedule(static) if (pixels * C > 1 << 15)
  for (i64 pixel = 0; pixel < pixels; ++pixel)
    for (i64 c = 0; c < C; ++c) y[pixel * C + c] += bias[c];
}

void conv_transpose2d_cpu(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Tensor& y) {
  dispatch_float(x.dtype(), "conv_transpose2d", [&]<class T>() {
    const T* b = bias.defined() ? bias.data<T>() : nullptr;
    if (is_tiling(dims)) return tile(dims, x.data<T>(), weight.data<T>(), b, y.data<T>());
    if (has_few_channels(dims)) return multiply_and_gather(dims, x, weight, b, y);
    conv2d_backward_input_kernels(dims, x, weight, y);
    if (b) add_bias(b, dims.N * dims.H * dims.W, dims.Ci, y.data<T>());
  });
}

const bool kAdded = conv_transpose2d_kernels.add(DeviceKind::kCpu, conv_transpose2d_cpu);

}  // namespace
}  // namespace tessera::ops
