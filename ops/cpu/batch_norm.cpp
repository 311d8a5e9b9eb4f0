// Batch normalisation on the CPU; ops/batch_norm.h states the formulas: the steps of group normalisation
// (ops/cpu/group_norm.h) of one sample of P rows with a group per channel, and the running statistics.
#include "ops/batch_norm.h"

#include <cmath>

#include "ops/cpu/group_norm.h"
#include "ops/cpu/parallel.h"

namespace tessera::ops {

namespace {

GroupNormDims dims_of(const Tensor& x) {
  const i64 C = x.dim(-1);
  return {.N = 1, .P = x.shape().numel(0, x.rank() - 1), .C = C, .G = C};
}

template <class T>
void forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean_, Tensor& running_var_,
             const BatchNormParams& params, Tensor& mean_, Tensor& invstd_, Tensor& y) {
  const GroupNormDims dims = dims_of(x);
  if (dims.C == 0) return;
  T *running_mean = running_mean_.data<T>(), *running_var = running_var_.data<T>();
  T *mean = mean_.data<T>(), *invstd = invstd_.data<T>();
  if (params.training && dims.P > 0) {
    Tensor variance = Tensor::empty(mean_.shape(), mean_.dtype());
    cpu::group_moments(dims, x, params.eps, mean_, invstd_, variance);
    const double count = static_cast<double>(dims.P), share = params.momentum;
    for (i64 c = 0; c < dims.C; ++c) {
      const double unbiased = variance.data<T>()[c] * count / (count - 1);
      running_mean[c] = static_cast<T>((1 - share) * running_mean[c] + share * mean[c]);
      running_var[c] = static_cast<T>((1 - share) * running_var[c] + share * unbiased);
    }
  } else {
    for (i64 c = 0; c < dims.C; ++c) {
      mean[c] = running_mean[c];
      invstd[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(running_var[c]) + params.eps));
    }
  }
  cpu::normalise(dims, x, weight, bias, mean_, invstd_, y);
}

void batch_norm_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                    Tensor& running_var, const BatchNormParams& params, Tensor& mean, Tensor& invstd, Tensor& y) {
  dispatch_float(x.dtype(), "batch_norm",
                 [&]<class T>() { forward<T>(x, weight, bias, running_mean, running_var, params, mean, invstd, y); });
}

void batch_norm_frozen_backward_cpu(const Tensor& gy_, const Tensor& weight_, const Tensor& invstd_, Tensor& gx_) {
  dispatch_float(gy_.dtype(), "batch_norm_frozen_backward", [&]<class T>() {
    const i64 C = gy_.dim(-1);
    const T *gy = gy_.data<T>(), *weight = weight_.data<T>(), *invstd = invstd_.data<T>();
    T* gx = gx_.data<T>();
    parallel_ranges(gy_.shape().numel(0, gy_.rank() - 1), (1 << 15) / std::max<i64>(C, 1) + 1, [&](i64 begin, i64 end) {
      for (i64 p = begin; p < end; ++p)
        for (i64 c = 0; c < C; ++c) gx[p * C + c] = weight[c] * invstd[c] * gy[p * C + c];
    });
  });
}

void batch_norm_backward_cpu(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                             const Tensor& invstd, bool training, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  if (x.dim(-1) == 0) return;
  Tensor none;
  cpu::group_norm_gradients(dims_of(x), gy, x, weight, mean, invstd, gweight, gbias, training ? gx : none);
  if (!training) batch_norm_frozen_backward_cpu(gy, weight, invstd, gx);
}

const bool kAdded = batch_norm_kernels.add(DeviceKind::kCpu, batch_norm_cpu) &&
                    batch_norm_backward_kernels.add(DeviceKind::kCpu, batch_norm_backward_cpu) &&
                    batch_norm_frozen_backward_kernels.add(DeviceKind::kCpu, batch_norm_frozen_backward_cpu);

}  // namespace

}  // namespace tessera::ops
