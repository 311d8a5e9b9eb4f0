// Parameter updates in CUDA, all parameters in one launch or a few (ops/cuda/tensor_table.h); formulas in
// ops/optimizer.h. Memory limits them: AdamW moves 28 bytes per element, SGD with momentum 20. Scaling the gradient
// costs nothing here, and a launch of its own would move 8 more.
#include <cmath>
#include <vector>

#include "ops/cuda/tensor_table.h"
#include "ops/optimizer.h"

namespace tessera {

namespace {

using namespace cuda;

// One warp.
__global__ void clip_grad_norm_kernel(const double* sum_of_squares, double max_norm, i64 n, const float* watched,
                                      double* norm, double* scale) {
  const double length = std::sqrt(*sum_of_squares);
  bool finite = std::isfinite(length);
  for (const i64 i : indices(n)) finite = finite && std::isfinite(watched[i]);
  finite = warp_ballot(finite) == kAllLanes;
  if (threadIdx.x > 0) return;
  *norm = length;
  *scale = !finite ? NAN : max_norm == 0 ? 1 : std::min(1.0, max_norm / (length + 1e-6));
}

void clip_grad_norm_cuda(const Tensor& sum_of_squares, double max_norm, const Tensor& watched, Tensor& norm,
                         Tensor& scale) {
  const i64 n = watched ? watched.numel() : 0;
  launch<clip_grad_norm_kernel>(Launch{.grid = 1, .block = kWarp}, sum_of_squares.device_data<double>(), max_norm, n,
                                n > 0 ? watched.device_data<float>() : nullptr, norm.device_data<double>(),
                                scale.device_data<double>());
}

struct AdamW {
  i64 count;
  const float* g;
  float *p, *m, *v;
  float keep, beta1, rest1, beta2, rest2, step, root, eps;
};

__global__ void adamw_kernel(TensorTable<AdamW> table, const double* scale) {
  if (std::isnan(*scale)) return;
  const float factor = static_cast<float>(*scale);
  const auto [a, begin, end] = table.share();
  for (i64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const float g = factor * a.g[i];
    const float m = a.beta1 * a.m[i] + a.rest1 * g;
    const float v = a.beta2 * a.v[i] + a.rest2 * g * g;
    a.m[i] = m;
    a.v[i] = v;
    a.p[i] = a.keep * a.p[i] - a.step * m / (std::sqrt(v) / a.root + a.eps);
  }
}

void adamw_step_cuda(std::span<ops::AdamWUpdate> updates, const Tensor& scale) {
  std::vector<AdamW> list;
  for (auto& [parameter, gradient, m, v, params] : updates) {
    const double t = static_cast<double>(params.step);
    list.push_back({.count = parameter.numel(),
                    .g = gradient.device_data<float>(),
                    .p = parameter.device_data<float>(),
                    .m = m.device_data<float>(),
                    .v = v.device_data<float>(),
                    .keep = static_cast<float>(1 - params.lr * params.weight_decay),
                    .beta1 = static_cast<float>(params.beta1),
                    .rest1 = static_cast<float>(1 - params.beta1),
                    .beta2 = static_cast<float>(params.beta2),
                    .rest2 = static_cast<float>(1 - params.beta2),
                    .step = static_cast<float>(params.lr / (1 - std::pow(params.beta1, t))),
                    .root = static_cast<float>(std::sqrt(1 - std::pow(params.beta2, t))),
                    .eps = static_cast<float>(params.eps)});
  }
  for_each_table(std::span<const AdamW>(list), [&](const TensorTable<AdamW>& table, const Launch& shape) {
    launch<adamw_kernel>(shape, table, scale.device_data<double>());
  });
}

struct Sgd {
  i64 count;
  const float* g;
  float *p, *buffer;  // no buffer: null
  float lr, momentum, decay;
  bool first_step;
};

__global__ void sgd_kernel(TensorTable<Sgd> table, const double* scale) {
  if (std::isnan(*scale)) return;
  const float factor = static_cast<float>(*scale);
  const auto [s, begin, end] = table.share();
  for (i64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const float p = s.p[i];
    float d = factor * s.g[i] + s.decay * p;
    if (s.buffer) {
      if (!s.first_step) d += s.momentum * s.buffer[i];
      s.buffer[i] = d;
    }
    s.p[i] = p - s.lr * d;
  }
}

void sgd_step_cuda(std::span<ops::SgdUpdate> updates, const Tensor& scale) {
  std::vector<Sgd> list;
  for (auto& [parameter, gradient, buffer, params] : updates)
    list.push_back({.count = parameter.numel(),
                    .g = gradient.device_data<float>(),
                    .p = parameter.device_data<float>(),
                    .buffer = params.momentum != 0 ? buffer.device_data<float>() : nullptr,
                    .lr = static_cast<float>(params.lr),
                    .momentum = static_cast<float>(params.momentum),
                    .decay = static_cast<float>(params.weight_decay),
                    .first_step = params.first_step});
  for_each_table(std::span<const Sgd>(list), [&](const TensorTable<Sgd>& table, const Launch& shape) {
    launch<sgd_kernel>(shape, table, scale.device_data<double>());
  });
}

struct Lerp {
  i64 count;
  const float* source;
  float* target;
};

__global__ void lerp_into_kernel(TensorTable<Lerp> table, float weight, const double* scale) {
  if (std::isnan(*scale)) return;
  const auto [l, begin, end] = table.share();
  for (i64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const float target = l.target[i];
    l.target[i] = target + weight * (l.source[i] - target);
  }
}

void lerp_into_cuda(std::span<ops::LerpUpdate> updates, double weight, const Tensor& scale) {
  std::vector<Lerp> list;
  for (auto& [target, source] : updates)
    list.push_back({target.numel(), source.device_data<float>(), target.device_data<float>()});
  for_each_table(std::span<const Lerp>(list), [&](const TensorTable<Lerp>& table, const Launch& shape) {
    launch<lerp_into_kernel>(shape, table, static_cast<float>(weight), scale.device_data<double>());
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::clip_grad_norm_kernels.add(kDevice, clip_grad_norm_cuda),
    ops::adamw_step_kernels.add(kDevice, adamw_step_cuda),
    ops::sgd_step_kernels.add(kDevice, sgd_step_cuda),
    ops::lerp_into_kernels.add(kDevice, lerp_into_cuda),
};

}  // namespace

}  // namespace tessera
