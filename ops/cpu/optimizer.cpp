// Parameter updates on the CPU; ops/optimizer.h states the formulas. Elements are independent: threads take contiguous
// ranges, each range is a vector loop.
#include "ops/optimizer.h"

#include <cmath>

namespace tessera::ops {

namespace {

constexpr i64 kWorthThreads = 1 << 15;

template <class T>
void adamw(Tensor& parameter, const Tensor& gradient, Tensor& m_, Tensor& v_, const AdamWParams& params) {
  T *p = parameter.data<T>(), *m = m_.data<T>(), *v = v_.data<T>();
  const T* g = gradient.data<T>();
  const double t = static_cast<double>(params.step);
  const T keep = static_cast<T>(1 - params.lr * params.weight_decay);
  const T beta1 = static_cast<T>(params.beta1), rest1 = static_cast<T>(1 - params.beta1);
  const T beta2 = static_cast<T>(params.beta2), rest2 = static_cast<T>(1 - params.beta2);
  const T step = static_cast<T>(params.lr / (1 - std::pow(params.beta1, t)));
  const T root = static_cast<T>(std::sqrt(1 - std::pow(params.beta2, t))), eps = static_cast<T>(params.eps);
  const i64 count = parameter.numel();
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) {
    m[i] = beta1 * m[i] + rest1 * g[i];
    v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
    p[i] = keep * p[i] - step * m[i] / (std::sqrt(v[i]) / root + eps);
  }
}

template <class T>
void sgd(Tensor& parameter, const Tensor& gradient, Tensor& buffer_, const SgdParams& params) {
  T* p = parameter.data<T>();
  const T* g = gradient.data<T>();
  const T lr = static_cast<T>(params.lr), momentum = static_cast<T>(params.momentum);
  const T decay = static_cast<T>(params.weight_decay);
  const i64 count = parameter.numel();
  if (params.momentum == 0) {
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
    for (i64 i = 0; i < count; ++i) p[i] -= lr * (g[i] + decay * p[i]);
    return;
  }
  T* buffer = buffer_.data<T>();
  if (params.first_step) buffer_.fill(0);  // 0 * anything that was there might be NaN
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) {
    buffer[i] = momentum * buffer[i] + (g[i] + decay * p[i]);
    p[i] -= lr * buffer[i];
  }
}

void adamw_step_cpu(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v, const AdamWParams& params) {
  dispatch_float(parameter.dtype(), "adamw_step", [&]<class T>() { adamw<T>(parameter, gradient, m, v, params); });
}

void sgd_step_cpu(Tensor& parameter, const Tensor& gradient, Tensor& momentum_buffer, const SgdParams& params) {
  dispatch_float(parameter.dtype(), "sgd_step",
                 [&]<class T>() { sgd<T>(parameter, gradient, momentum_buffer, params); });
}

void scale_into_cpu(Tensor& target, double factor) {
  dispatch_float(target.dtype(), "scale_into", [&]<class T>() {
    T* values = target.data<T>();
    const T by = static_cast<T>(factor);
    const i64 count = target.numel();
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
    for (i64 i = 0; i < count; ++i) values[i] *= by;
  });
}

void lerp_into_cpu(Tensor& target, const Tensor& source, double weight) {
  dispatch_float(target.dtype(), "lerp_into", [&]<class T>() {
    T* to = target.data<T>();
    const T *from = source.data<T>(), share = static_cast<T>(weight);
    const i64 count = target.numel();
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
    for (i64 i = 0; i < count; ++i) to[i] += share * (from[i] - to[i]);
  });
}

const bool kAdded =
    adamw_step_kernels.add(DeviceKind::kCpu, adamw_step_cpu) && sgd_step_kernels.add(DeviceKind::kCpu, sgd_step_cpu) &&
    scale_into_kernels.add(DeviceKind::kCpu, scale_into_cpu) && lerp_into_kernels.add(DeviceKind::kCpu, lerp_into_cpu);

}  // namespace

}  // namespace tessera::ops
