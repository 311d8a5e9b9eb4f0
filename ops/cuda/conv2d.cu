// Convolution in CUDA: who computes what. Depthwise ones have kernels of their own (ops/cuda/depthwise.h), dense and
// grouped ones are cuDNN's (ops/cuda/dnn.h). Bias, residual and ReLU are part of the convolution; ReLU6 after cuDNN is
// a pass of its own. Where cuDNN does not take all that together it is asked for the convolution alone, and what it
// does not take at all is computed by the plain kernels (ops/cuda/plain_conv2d.h); ops/fallbacks.h counts both.
#include "ops/conv2d.h"
#include "ops/cuda/apply_epilogue.h"
#include "ops/cuda/depthwise.h"
#include "ops/cuda/dnn.h"
#include "ops/cuda/plain_conv2d.h"
#include "ops/cuda/storage.h"
#include "ops/fallbacks.h"
#include "ops/pointwise.h"

namespace tessera {

namespace {

using namespace cuda;
using ops::Activation;
using ops::Conv2dDims;

bool is_depthwise(const Conv2dDims& dims) {
  return dims.groups > 1 && dims.groups == dims.Ci && dims.Ci == dims.Co;
}

void refused(const char* op, const Conv2dDims& d, DType dtype, const char* what = "") {
  ops::note_fallback(
      fmt::format("{}: cuDNN does not take x [{}, {}, {}, {}] {}, weight [{}, {}, {}, {}], stride {}, padding {}, "
                  "dilation {}, {} groups{}",
                  op, d.N, d.H, d.W, d.Ci, name_of(dtype), d.Co, d.Kh, d.Kw, d.group_in(), d.stride, d.padding,
                  d.dilation, d.groups, what));
}

void dense(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
           Activation activation, Tensor& y) {
  if (y.numel() == 0) return;
  if (dense_conv2d(dims, x, weight, bias, residual, activation == Activation::kRelu, y)) {
    if (activation == Activation::kRelu6) ops::unary_kernels<scalar::Relu6>(y, y);
    return;
  }
  const bool more = bias.defined() || residual.defined() || activation != Activation::kNone;
  if (!more || !dense_conv2d(dims, x, weight, {}, {}, false, y)) {
    refused("conv2d", dims, x.dtype());
    return plain_conv2d(dims, x, weight, bias, residual, activation, y);
  }
  refused("conv2d", dims, x.dtype(), " with what follows the sum");
  dispatch_storage(y, [&]<class T>() {
    apply_epilogue(y.numel() / dims.Co, dims.Co, dims.Co, data_or_null<T>(bias), data_or_null<T>(residual), activation,
                   y.device_data<T>());
  });
}

void conv2d_cuda(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                 Activation activation, Tensor& y) {
  if (is_depthwise(dims)) return depthwise(dims, x, depthwise_pack(weight), bias, Tensor(), activation, y);
  dense(dims, x, weight, bias, Tensor(), activation, y);
}

// The form is the weight itself, turned to [Kh Kw, C] for a depthwise convolution.
void conv2d_pack_cuda(const Conv2dDims& dims, const Tensor& weight, bool, ops::PackedConv2d& packed) {
  packed.form = is_depthwise(dims) ? depthwise_pack(weight) : weight;
  packed.weight = Tensor();
}

void conv2d_packed_cuda(const Conv2dDims& dims, const Tensor& x, const ops::PackedConv2d& packed,
                        const Tensor& residual, Tensor& y) {
  const Activation activation = packed.params.activation;
  if (is_depthwise(dims)) return depthwise(dims, x, packed.form, packed.bias, residual, activation, y);
  dense(dims, x, packed.form, packed.bias, residual, activation, y);
}

void conv2d_backward_input_cuda(const Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  if (gx.numel() == 0) return;
  if (is_depthwise(dims)) return depthwise_backward_input(dims, gy, weight, gx);
  if (dense_conv2d_backward_input(dims, gy, weight, gx)) return;
  refused("conv2d_backward_input", dims, gy.dtype());
  plain_conv2d_backward_input(dims, gy, weight, gx);
}

void conv2d_backward_weight_cuda(const Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  if (x.numel() == 0) return gw.fill(0);
  if (is_depthwise(dims)) return depthwise_backward_weight(dims, gy, x, gw);
  if (dense_conv2d_backward_weight(dims, gy, x, gw)) return;
  refused("conv2d_backward_weight", dims, gy.dtype());
  plain_conv2d_backward_weight(dims, gy, x, gw);
}

[[maybe_unused]] const bool kAdded[] = {
    ops::conv2d_kernels.add(kDevice, conv2d_cuda),
    ops::conv2d_pack_kernels.add(kDevice, conv2d_pack_cuda),
    ops::conv2d_packed_kernels.add(kDevice, conv2d_packed_cuda),
    ops::conv2d_backward_input_kernels.add(kDevice, conv2d_backward_input_cuda),
    ops::conv2d_backward_weight_kernels.add(kDevice, conv2d_backward_weight_cuda),
};

}  // namespace

}  // namespace tessera
