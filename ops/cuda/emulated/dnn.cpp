// The emulated device's dense convolutions: its memory is the processor's, so the CPU's kernels work on it.
#include "ops/cuda/dnn.h"

#include <memory>

namespace tessera::cuda {

namespace {

// The same memory as a tensor of the CPU.
Tensor borrowed(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return Tensor::borrow(const_cast<void*>(tensor.raw()), tensor.shape(), tensor.dtype(),
                        std::make_shared<Tensor>(tensor));
}

// The work is the device's operator's, not that of the CPU's operator inside it.
struct Unheard : WorkListener {
  void ran(const char*, const Work&, const Shape&) override {}
};

}  // namespace

bool dense_conv2d(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, bool relu, Tensor& y) {
  const Unheard unheard;
  const ops::Conv2dParams params{.stride = dims.stride,
                                 .padding = dims.padding,
                                 .dilation = dims.dilation,
                                 .groups = dims.groups,
                                 .activation = relu ? ops::Activation::kRelu : ops::Activation::kNone};
  const ops::PackedConv2d packed = ops::conv2d_pack(borrowed(weight), borrowed(bias), params, false);
  borrowed(y).copy_from(ops::conv2d_packed(borrowed(x), packed, borrowed(residual)));
  return true;
}

bool dense_conv2d_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  const Unheard unheard;
  Tensor to = borrowed(gx);
  ops::conv2d_backward_input_kernels(dims, borrowed(gy), borrowed(weight), to);
  return true;
}

bool dense_conv2d_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  const Unheard unheard;
  Tensor to = borrowed(gw);
  ops::conv2d_backward_weight_kernels(dims, borrowed(gy), borrowed(x), to);
  return true;
}

}  // namespace tessera::cuda
