// Batch normalisation in CUDA, formulas in ops/batch_norm.h: the steps of group normalisation (ops/cuda/group_norm.h)
// of one sample of P rows with a group per channel, and the running statistics, one thread per channel.
#include "ops/batch_norm.h"
#include "ops/cuda/columns.h"
#include "ops/cuda/group_norm.h"

namespace tessera {

namespace {

using namespace cuda;

ops::GroupNormDims dims_of(const Tensor& x) {
  const i64 C = x.dim(-1);
  return {.N = 1, .P = x.shape().numel(0, x.rank() - 1), .C = C, .G = C};
}

__global__ void update_running_kernel(i64 C, i64 P, double momentum, const float* mean, const float* variance,
                                      float* running_mean, float* running_var) {
  const double count = static_cast<double>(P);
  for (const i64 c : indices(C)) {
    const double unbiased = variance[c] * count / (count - 1);
    running_mean[c] = static_cast<float>((1 - momentum) * running_mean[c] + momentum * mean[c]);
    running_var[c] = static_cast<float>((1 - momentum) * running_var[c] + momentum * unbiased);
  }
}

__global__ void use_running_kernel(i64 C, double eps, const float* running_mean, const float* running_var, float* mean,
                                   float* invstd) {
  for (const i64 c : indices(C)) {
    mean[c] = running_mean[c];
    invstd[c] = static_cast<float>(1 / std::sqrt(static_cast<double>(running_var[c]) + eps));
  }
}

template <class T, int kWidth>
__global__ void frozen_backward_kernel(Columns d, const T* __restrict__ gy, const float* weight, const float* invstd,
                                       T* __restrict__ gx) {
  const ColumnShare share = column_share<kWidth>(d);
  if (share.c >= d.C) return;
  Channels<kWidth> scale;
  for (int j = 0; j < kWidth; ++j) scale.value[j] = weight[share.c + j] * invstd[share.c + j];
  read_ahead<4>(
      share.begin, share.end, share.step, [&](i64 row) { return Channels<kWidth>::load(gy + row * d.C + share.c); },
      [&](i64 row, Channels<kWidth> gradient) {
        for (int j = 0; j < kWidth; ++j) gradient.value[j] *= scale.value[j];
        gradient.store(gx + row * d.C + share.c);
      });
}

void batch_norm_cuda(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                     Tensor& running_var, const ops::BatchNormParams& params, Tensor& mean, Tensor& invstd, Tensor& y) {
  const ops::GroupNormDims dims = dims_of(x);
  if (dims.C == 0) return;
  float *centre = mean.device_data<float>(), *rate = invstd.device_data<float>();
  if (params.training && dims.P > 0) {
    Tensor variance = Tensor::empty(mean.shape(), DType::kF32, x.device());
    group_moments(dims, x, params.eps, centre, rate, variance.device_data<float>());
    launch<update_running_kernel>(over(dims.C), dims.C, dims.P, params.momentum, mean.device_data<float>(),
                                  variance.device_data<float>(), running_mean.device_data<float>(),
                                  running_var.device_data<float>());
  } else {
    launch<use_running_kernel>(over(dims.C), dims.C, params.eps, running_mean.device_data<float>(),
                               running_var.device_data<float>(), centre, rate);
  }
  normalise(dims, x, weight, bias, mean, invstd, y);
}

void batch_norm_frozen_backward_cuda(const Tensor& gy, const Tensor& weight, const Tensor& invstd, Tensor& gx) {
  const ops::GroupNormDims dims = dims_of(gy);
  dispatch_storage(gy, [&]<class T>() {
    const T* from = gy.device_data<T>();
    T* to = gx.device_data<T>();
    dispatch_pieces<T>(dims.C, {from, to}, [&]<int kWidth>() {
      const Columns d(1, dims.P, dims.C, kWidth);
      launch<frozen_backward_kernel<T, kWidth>>(d.launch(), d, from, weight.device_data<float>(),
                                                invstd.device_data<float>(), to);
    });
  });
}

void batch_norm_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                              const Tensor& invstd, bool training, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  if (x.dim(-1) == 0) return;
  Tensor none;
  group_norm_gradients(dims_of(x), gy, x, weight, mean, invstd, gweight, gbias, training ? gx : none);
  if (!training) batch_norm_frozen_backward_cuda(gy, weight, invstd, gx);
}

[[maybe_unused]] const bool kAdded[] = {
    ops::batch_norm_kernels.add(kDevice, batch_norm_cuda),
    ops::batch_norm_backward_kernels.add(kDevice, batch_norm_backward_cuda),
    ops::batch_norm_frozen_backward_kernels.add(kDevice, batch_norm_frozen_backward_cuda),
};

}  // namespace

}  // namespace tessera
