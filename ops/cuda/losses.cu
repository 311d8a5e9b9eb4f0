// Elementwise losses in CUDA; formulas in ops/scalar/losses.h. A reduced loss reads x and t once, and memory limits it
// (8 bytes per value; 12 backward).
#include "ops/cuda/loss_reduction.h"
#include "ops/scalar/libm.h"

namespace tessera {

namespace {

using namespace cuda;
using ops::LossParams;
using scalar::Libm;
using scalar::LossNumbers;

template <class Formula>
struct LoadLoss {
  const float *x, *t;
  LossNumbers<float> numbers;
  struct Pair {
    float x, t;
  };
  __device__ Pair read(i64 i) const { return {x[i], t[i]}; }
  __device__ double value(const Pair& pair, i64) const { return Formula::loss(Libm(), pair.x, pair.t, numbers); }
};

template <class Formula>
__global__ void loss_kernel(i64 n, LoadLoss<Formula> load, float* y) {
  read_then_write(
      n, [&](i64 i) { return load.read(i); },
      [&](i64 i, const auto& pair) { y[i] = static_cast<float>(load.value(pair, i)); });
}

template <class Formula>
__global__ void loss_backward_kernel(i64 n, Incoming gy, LoadLoss<Formula> load, float* gx) {
  read_then_write(
      n, [&](i64 i) { return std::pair(gy.of(i), load.read(i)); },
      [&](i64 i, const auto& read) {
        gx[i] = read.first * Formula::slope(Libm(), read.second.x, read.second.t, load.numbers);
      });
}

template <class Loss>
void element_loss_cuda(const Tensor& x, const Tensor& t, const LossParams& params, Reduction reduction, Tensor& y) {
  const LossNumbers<float> numbers = ops::loss_numbers<float>(params);
  Loss::choose(numbers, [&]<class Formula>(Formula) {
    const LoadLoss<Formula> load{x.device_data<float>(), t.device_data<float>(), numbers};
    if (reduction != Reduction::kNone) return reduce_losses(x.numel(), reduction, load, y);
    launch<loss_kernel<Formula>>(over_batches(x.numel()), x.numel(), load, y.device_data<float>());
  });
}

template <class Loss>
void element_loss_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& t, const LossParams& params,
                                Reduction reduction, Tensor& gx) {
  const LossNumbers<float> numbers = ops::loss_numbers<float>(params);
  Loss::choose(numbers, [&]<class Formula>(Formula) {
    const LoadLoss<Formula> load{x.device_data<float>(), t.device_data<float>(), numbers};
    launch<loss_backward_kernel<Formula>>(over_batches(x.numel()), x.numel(), Incoming(gy, x.numel(), reduction), load,
                                          gx.device_data<float>());
  });
}

[[maybe_unused]] const bool kAdded = scalar::ElementLosses::each([]<class Loss>(Loss) {
  ops::element_loss_kernels<Loss>.add(kDevice, element_loss_cuda<Loss>);
  ops::element_loss_backward_kernels<Loss>.add(kDevice, element_loss_backward_cuda<Loss>);
});

}  // namespace

}  // namespace tessera
