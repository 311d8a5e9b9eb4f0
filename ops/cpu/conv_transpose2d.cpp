// Transposed convolution on the CPU; ops/conv_transpose2d.h states the formula.
//
// In general it is the input gradient of a convolution, which exists, and then the bias in a pass of its own. Where the
// kernel steps by its own size (2x2 with stride 2, as the mask heads have it), no two pixels of x meet: row kh of the
// kernel takes pixel (h, w) to the Kw neighbouring pixels (h Kh + kh, w Kw ...) of y, so that each kh is one product
//
//   [N H W, Cin] x [Cin, Kw Cout]        its rows written where they belong, with the bias
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
    conv2d_backward_input_kernels(dims, x, weight, y);
    if (b) add_bias(b, dims.N * dims.H * dims.W, dims.Ci, y.data<T>());
  });
}

const bool kAdded = conv_transpose2d_kernels.add(DeviceKind::kCpu, conv_transpose2d_cpu);

}  // namespace
}  // namespace tessera::ops
