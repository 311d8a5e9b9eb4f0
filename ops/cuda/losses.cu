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
  __device__ double operator()(i64 i, i64) const { return Formula::loss(Libm(), x[i], t[i], numbers); }
};

template <class Formula>
__global__ void loss_kernel(i64 n, LoadLoss<Formula> load, float* y) {
  for (const i64 i : indices(n)) y[i] = static_cast<float>(load(i, i));
}

template <class Formula>
__global__ void loss_backward_kernel(i64 n, Incoming gy, const float* x, const float* t, LossNumbers<float> numbers,
                                     float* gx) {
  for (const i64 i : indices(n)) gx[i] = gy.of(i) * Formula::slope(Libm(), x[i], t[i], numbers);
}

template <class Loss>
void element_loss_cuda(const Tensor& x, const Tensor& t, const LossParams& params, Reduction reduction, Tensor& y) {
  const LossNumbers<float> numbers = ops::loss_numbers<float>(params);
  Loss::choose(numbers, [&]<class Formula>(Formula) {
    const LoadLoss<Formula> load{x.device_data<float>(), t.device_data<float>(), numbers};
    if (reduction != Reduction::kNone) return reduce_losses(x.numel(), reduction, load, y);
    launch<loss_kernel<Formula>>(over(x.numel()), x.numel(), load, y.device_data<float>());
  });
}

template <class Loss>
void element_loss_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& t, const LossParams& params,
                                Reduction reduction, Tensor& gx) {
  const LossNumbers<float> numbers = ops::loss_numbers<float>(params);
  Loss::choose(numbers, [&]<class Formula>(Formula) {
    launch<loss_backward_kernel<Formula>>(over(x.numel()), x.numel(), Incoming(gy, x.numel(), reduction),
                                          x.device_data<float>(), t.device_data<float>(), numbers,
                                          gx.device_data<float>());
  });
}

[[maybe_unused]] const bool kAdded = scalar::ElementLosses::each([]<class Loss>(Loss) {
  ops::element_loss_kernels<Loss>.add(kDevice, element_loss_cuda<Loss>);
  ops::element_loss_backward_kernels<Loss>.add(kDevice, element_loss_backward_cuda<Loss>);
});

}  // namespace

}  // namespace tessera
