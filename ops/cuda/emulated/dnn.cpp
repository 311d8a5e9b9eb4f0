// The emulated device's dense convolutions: its memory is the processor's, so the CPU's kernels work on it.
#include "ops/cuda/dnn.h"

#include <memory>

#include "tensor/cuda/runtime.h"

namespace tessera::cuda {

namespace {

// The same memory as a tensor of the CPU, which does not keep it: a graph holds addresses.
Tensor borrowed(const Tensor& tensor) {
  static const auto nobody = std::make_shared<int>();
  if (!tensor.defined()) return {};
  return Tensor::borrow(const_cast<void*>(tensor.raw()), tensor.shape(), tensor.dtype(), nobody);
}

// The work is the device's operator's, not that of the CPU's operator inside it.
struct Unheard : WorkListener {
  void ran(const char*, const Work&, const Shape&) override {}
};

}  // namespace

bool dense_conv2d(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, bool relu, Tensor& y) {
  const ops::Conv2dParams params{.stride = dims.stride,
                                 .padding = dims.padding,
                                 .dilation = dims.dilation,
                                 .groups = dims.groups,
                                 .activation = relu ? ops::Activation::kRelu : ops::Activation::kNone};
  emulated::enqueue(stream(), [=, from = borrowed(x), w = borrowed(weight), b = borrowed(bias), r = borrowed(residual),
                               to = borrowed(y)] {
    const Unheard unheard;
    Tensor(to).copy_from(ops::conv2d_packed(from, ops::conv2d_pack(w, b, params, false), r));
  });
  return true;
}

bool dense_conv2d_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  emulated::enqueue(stream(), [=, from = borrowed(gy), w = borrowed(weight), to = borrowed(gx)]() mutable {
    const Unheard unheard;
    ops::conv2d_backward_input_kernels(dims, from, w, to);
  });
  return true;
}

bool dense_conv2d_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  emulated::enqueue(stream(), [=, g = borrowed(gy), from = borrowed(x), to = borrowed(gw)]() mutable {
    const Unheard unheard;
    ops::conv2d_backward_weight_kernels(dims, g, from, to);
  });
  return true;
}

}  // namespace tessera::cuda
