// The emulated device's dense convolutions: its memory is the processor's, so the CPU's kernels work on it.
#include "ops/cuda/dnn.h"

#include <memory>

namespace tessera::cuda {

namespace {

// The same memory as a tensor of the CPU, in its own element type.
Tensor borrowed(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return Tensor::borrow(const_cast<void*>(tensor.raw()), tensor.shape(), tensor.dtype(),
                        std::make_shared<Tensor>(tensor));
}

// In f32, for the CPU's kernels: they have no bf16.
Tensor widened(const Tensor& tensor) {
  return tensor.defined() ? borrowed(tensor).to(DType::kF32) : Tensor();
}

// What work(result) computes in f32, stored in y as y's element type.
template <class Work>
void narrow_into(Tensor& y, const Work& work) {
  Tensor result = y.dtype() == DType::kF32 ? borrowed(y) : Tensor::empty(y.shape());
  work(result);
  if (y.dtype() != DType::kF32) borrowed(y).copy_from(result.to(y.dtype()));
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
  const ops::PackedConv2d packed = ops::conv2d_pack(widened(weight), widened(bias), params, false);
  borrowed(y).copy_from(ops::conv2d_packed(widened(x), packed, widened(residual)).to(y.dtype()));
  return true;
}

bool dense_conv2d_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  const Unheard unheard;
  narrow_into(gx, [&](Tensor& to) { ops::conv2d_backward_input_kernels(dims, widened(gy), widened(weight), to); });
  return true;
}

bool dense_conv2d_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  const Unheard unheard;
  narrow_into(gw, [&](Tensor& to) { ops::conv2d_backward_weight_kernels(dims, widened(gy), widened(x), to); });
  return true;
}

}  // namespace tessera::cuda
