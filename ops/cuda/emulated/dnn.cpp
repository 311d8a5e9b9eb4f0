// The emulated device's dense convolutions: its memory is the processor's, so the CPU's kernels work on it.
#include "ops/cuda/dnn.h"

#include <memory>

#include "ops/cuda/emulated/last_bit.h"
#include "tensor/cuda/emulated/inject.h"
#include "tensor/cuda/runtime.h"
#include "tensor/device_counts.h"

namespace tessera::cuda {

namespace {

// The same memory as a tensor of the CPU, which does not keep it: a graph holds addresses.
Tensor borrowed(const Tensor& tensor) {
  static const auto nobody = std::make_shared<int>();
  if (!tensor.defined()) return {};
  return Tensor::borrow(const_cast<void*>(tensor.raw()), tensor.shape(), tensor.dtype(), nobody);
}

// In f32, for the CPU's kernels: they have no bf16.
Tensor widened(const Tensor& tensor) {
  return tensor.defined() ? tensor.to(DType::kF32) : Tensor();
}

// What work(result) computes in f32, stored in y as y's element type.
template <class Work>
void narrow_into(Tensor& y, const Work& work) {
  Tensor result = y.dtype() == DType::kF32 ? y : Tensor::empty(y.shape());
  work(result);
  turn_last_bits(result.data<float>(), result.numel());
  if (!result.same_memory(y)) y.copy_from(result.to(y.dtype()));
}

// The work is the device's operator's, not that of the CPU's operator inside it.
struct Unheard : WorkListener {
  void ran(const char*, const Work&, const Shape&) override {}
};

}  // namespace

bool dense_conv2d(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, bool relu, Tensor& y) {
  const emulated::Machine& machine = emulated::machine();
  if (machine.no_convolutions) return false;
  if (machine.bare_convolutions && (bias.defined() || residual.defined() || relu)) return false;
  const ops::Conv2dParams params{.stride = dims.stride,
                                 .padding = dims.padding,
                                 .dilation = dims.dilation,
                                 .groups = dims.groups,
                                 .activation = relu ? ops::Activation::kRelu : ops::Activation::kNone};
  count_device_launch();
  emulated::enqueue(stream(), [=, from = borrowed(x), w = borrowed(weight), b = borrowed(bias), r = borrowed(residual),
                               to = borrowed(y)] {
    const Unheard unheard;
    const ops::PackedConv2d packed = ops::conv2d_pack(widened(w), widened(b), params, false);
    Tensor result = ops::conv2d_packed(widened(from), packed, widened(r));
    turn_last_bits(result.data<float>(), result.numel());
    Tensor(to).copy_from(result.to(to.dtype()));
  });
  return true;
}

bool dense_conv2d_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  if (emulated::machine().no_convolutions) return false;
  count_device_launch();
  emulated::enqueue(stream(), [=, from = borrowed(gy), w = borrowed(weight), result = borrowed(gx)]() mutable {
    const Unheard unheard;
    narrow_into(result, [&](Tensor& to) { ops::conv2d_backward_input_kernels(dims, widened(from), widened(w), to); });
  });
  return true;
}

bool dense_conv2d_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  if (emulated::machine().no_convolutions) return false;
  count_device_launch();
  emulated::enqueue(stream(), [=, g = borrowed(gy), from = borrowed(x), result = borrowed(gw)]() mutable {
    const Unheard unheard;
    narrow_into(result, [&](Tensor& to) { ops::conv2d_backward_weight_kernels(dims, widened(g), widened(from), to); });
  });
  return true;
}

}  // namespace tessera::cuda
