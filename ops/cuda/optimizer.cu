// Parameter updates in CUDA: one thread per element; formulas in ops/optimizer.h. Memory limits them: AdamW moves 28
// bytes per element, SGD with momentum 20.
#include <cmath>

#include "ops/optimizer.h"
#include "tensor/cuda/launch.h"

namespace tessera {

namespace {

using namespace cuda;

struct AdamW {
  float keep, beta1, rest1, beta2, rest2, step, root, eps;
};

__global__ void adamw_kernel(i64 n, AdamW a, const float* g, float* p, float* m, float* v) {
  for (const i64 i : indices(n)) {
    m[i] = a.beta1 * m[i] + a.rest1 * g[i];
    v[i] = a.beta2 * v[i] + a.rest2 * g[i] * g[i];
    p[i] = a.keep * p[i] - a.step * m[i] / (std::sqrt(v[i]) / a.root + a.eps);
  }
}

void adamw_step_cuda(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v, const ops::AdamWParams& params) {
  const double t = static_cast<double>(params.step);
  const AdamW adamw{.keep = static_cast<float>(1 - params.lr * params.weight_decay),
                    .beta1 = static_cast<float>(params.beta1),
                    .rest1 = static_cast<float>(1 - params.beta1),
                    .beta2 = static_cast<float>(params.beta2),
                    .rest2 = static_cast<float>(1 - params.beta2),
                    .step = static_cast<float>(params.lr / (1 - std::pow(params.beta1, t))),
                    .root = static_cast<float>(std::sqrt(1 - std::pow(params.beta2, t))),
                    .eps = static_cast<float>(params.eps)};
  launch<adamw_kernel>(over(parameter.numel()), parameter.numel(), adamw, gradient.device_data<float>(),
                       parameter.device_data<float>(), m.device_data<float>(), v.device_data<float>());
}

// buffer: null without momentum.
__global__ void sgd_kernel(i64 n, float lr, float momentum, float decay, bool first_step, const float* g, float* p,
                           float* buffer) {
  for (const i64 i : indices(n)) {
    float d = g[i] + decay * p[i];
    if (buffer) {
      if (!first_step) d += momentum * buffer[i];
      buffer[i] = d;
    }
    p[i] -= lr * d;
  }
}

void sgd_step_cuda(Tensor& parameter, const Tensor& gradient, Tensor& buffer, const ops::SgdParams& params) {
  launch<sgd_kernel>(over(parameter.numel()), parameter.numel(), static_cast<float>(params.lr),
                     static_cast<float>(params.momentum), static_cast<float>(params.weight_decay), params.first_step,
                     gradient.device_data<float>(), parameter.device_data<float>(),
                     params.momentum != 0 ? buffer.device_data<float>() : nullptr);
}

__global__ void scale_into_kernel(i64 n, float factor, float* target) {
  for (const i64 i : indices(n)) target[i] *= factor;
}

void scale_into_cuda(Tensor& target, double factor) {
  launch<scale_into_kernel>(over(target.numel()), target.numel(), static_cast<float>(factor),
                            target.device_data<float>());
}

__global__ void lerp_into_kernel(i64 n, float weight, const float* source, float* target) {
  for (const i64 i : indices(n)) target[i] += weight * (source[i] - target[i]);
}

void lerp_into_cuda(Tensor& target, const Tensor& source, double weight) {
  launch<lerp_into_kernel>(over(target.numel()), target.numel(), static_cast<float>(weight),
                           source.device_data<float>(), target.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::adamw_step_kernels.add(kDevice, adamw_step_cuda),
    ops::sgd_step_kernels.add(kDevice, sgd_step_cuda),
    ops::scale_into_kernels.add(kDevice, scale_into_cuda),
    ops::lerp_into_kernels.add(kDevice, lerp_into_cuda),
};

}  // namespace

}  // namespace tessera
