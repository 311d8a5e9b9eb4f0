// Parameter updates on the CPU; ops/optimizer.h states the formulas. Elements are independent: tensor by tensor,
// threads take contiguous ranges, each range is a vector loop.
#include "ops/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::ops {

namespace {

constexpr i64 kWorthThreads = 1 << 15;

void clip_grad_norm_cpu(const Tensor& sum_of_squares, double max_norm, const Tensor& watched, Tensor& norm,
                        Tensor& scale) {
  const double length = std::sqrt(*sum_of_squares.data<double>());
  bool finite = std::isfinite(length);
  if (watched)
    dispatch_float(watched.dtype(), "clip_grad_norm", [&]<class T>() {
      for (const T value : watched.span<T>()) finite = finite && std::isfinite(value);
    });
  *norm.data<double>() = length;
  *scale.data<double>() = !finite         ? std::numeric_limits<double>::quiet_NaN()
                          : max_norm == 0 ? 1
                                          : std::min(1.0, max_norm / (length + 1e-6));
}

template <class T>
void adamw(AdamWUpdate& update, T scale) {
  auto& [parameter, gradient, m_, v_, params] = update;
  T *p = parameter.data<T>(), *m = m_.template data<T>(), *v = v_.template data<T>();
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
    const T scaled = scale * g[i];
    m[i] = beta1 * m[i] + rest1 * scaled;
    v[i] = beta2 * v[i] + rest2 * scaled * scaled;
    p[i] = keep * p[i] - step * m[i] / (std::sqrt(v[i]) / root + eps);
  }
}

template <class T>
void sgd(SgdUpdate& update, T scale) {
  auto& [parameter, gradient, buffer_, params] = update;
  T* p = parameter.data<T>();
  const T* g = gradient.data<T>();
  const T lr = static_cast<T>(params.lr), momentum = static_cast<T>(params.momentum);
  const T decay = static_cast<T>(params.weight_decay);
  const i64 count = parameter.numel();
  if (params.momentum == 0) {
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
    for (i64 i = 0; i < count; ++i) p[i] -= lr * (scale * g[i] + decay * p[i]);
    return;
  }
  T* buffer = buffer_.data<T>();
  if (params.first_step) buffer_.fill(0);  // 0 * anything that was there might be NaN
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) {
    buffer[i] = momentum * buffer[i] + (scale * g[i] + decay * p[i]);
    p[i] -= lr * buffer[i];
  }
}

template <class T>
void lerp(LerpUpdate& update, T weight) {
  T* to = update.target.data<T>();
  const T* from = update.source.data<T>();
  const i64 count = update.target.numel();
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) to[i] += weight * (from[i] - to[i]);
}

void adamw_step_cpu(std::span<AdamWUpdate> updates, const Tensor& scale) {
  const double factor = *scale.data<double>();
  if (std::isnan(factor)) return;
  for (AdamWUpdate& update : updates)
    dispatch_float(update.parameter.dtype(), "adamw_step",
                   [&]<class T>() { adamw<T>(update, static_cast<T>(factor)); });
}

void sgd_step_cpu(std::span<SgdUpdate> updates, const Tensor& scale) {
  const double factor = *scale.data<double>();
  if (std::isnan(factor)) return;
  for (SgdUpdate& update : updates)
    dispatch_float(update.parameter.dtype(), "sgd_step", [&]<class T>() { sgd<T>(update, static_cast<T>(factor)); });
}

void lerp_into_cpu(std::span<LerpUpdate> updates, double weight, const Tensor& scale) {
  if (std::isnan(*scale.data<double>())) return;
  for (LerpUpdate& update : updates)
    dispatch_float(update.target.dtype(), "lerp_into", [&]<class T>() { lerp<T>(update, static_cast<T>(weight)); });
}

[[maybe_unused]] const bool kAdded[] = {
    clip_grad_norm_kernels.add(DeviceKind::kCpu, clip_grad_norm_cpu),
    adamw_step_kernels.add(DeviceKind::kCpu, adamw_step_cpu),
    sgd_step_kernels.add(DeviceKind::kCpu, sgd_step_cpu),
    lerp_into_kernels.add(DeviceKind::kCpu, lerp_into_cpu),
};

}  // namespace

}  // namespace tessera::ops
