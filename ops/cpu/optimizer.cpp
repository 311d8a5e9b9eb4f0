// Parameter updates on the CPU; ops/scalar/optimizer.h has the formulas. Elements are independent: tensor by tensor,
// threads take contiguous ranges, each range is a vector loop.
#include "ops/scalar/optimizer.h"

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
  *scale.data<double>() = scalar::clip_scale(length, finite, max_norm);
}

template <class T>
void adamw(AdamWUpdate& update, T scale) {
  T *p = update.parameter.data<T>(), *m = update.m.data<T>(), *v = update.v.data<T>();
  const T* g = update.gradient.data<T>();
  const auto step = scalar::AdamW<T>::of(update.params);
  const i64 count = update.parameter.numel();
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) step(scale * g[i], p[i], m[i], v[i]);
}

template <class T>
void sgd(SgdUpdate& update, T scale) {
  T* p = update.parameter.data<T>();
  const T* g = update.gradient.data<T>();
  const auto step = scalar::Sgd<T>::of(update.params);
  const i64 count = update.parameter.numel();
  if (update.params.momentum == 0) {
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
    for (i64 i = 0; i < count; ++i) step(scale * g[i], p[i]);
    return;
  }
  T* buffer = update.momentum_buffer.data<T>();
  if (update.params.first_step) update.momentum_buffer.fill(0);  // 0 * anything that was there might be NaN
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) step(scale * g[i], p[i], buffer[i]);
}

template <class T>
void lerp(LerpUpdate& update, T weight) {
  T* to = update.target.data<T>();
  const T* from = update.source.data<T>();
  const i64 count = update.target.numel();
#pragma omp parallel for simd schedule(static) if (parallel : count > kWorthThreads)
  for (i64 i = 0; i < count; ++i) to[i] = scalar::lerp(to[i], from[i], weight);
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
