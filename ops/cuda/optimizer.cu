// Parameter updates in CUDA, all parameters in one launch or a few (ops/cuda/tensor_table.h); formulas in
// ops/scalar/optimizer.h. Memory limits them: AdamW moves 28 bytes per element, SGD with momentum 20. Scaling the
// gradient costs nothing here, and a launch of its own would move 8 more.
#include <vector>

#include "ops/cuda/tensor_table.h"
#include "ops/scalar/optimizer.h"

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
  *scale = scalar::clip_scale(length, finite, max_norm);
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
  scalar::AdamW<float> step;
};

__global__ void adamw_kernel(TensorTable<AdamW> table, const double* scale) {
  if (std::isnan(*scale)) return;
  const float factor = static_cast<float>(*scale);
  const auto [a, begin, end] = table.share();
  each_piece<float>(begin, end, {a.g, a.p, a.m, a.v}, [&]<int kWidth>(i64 i) {
    const auto g = Channels<kWidth>::load(a.g + i);
    auto p = Channels<kWidth>::load(a.p + i), m = Channels<kWidth>::load(a.m + i), v = Channels<kWidth>::load(a.v + i);
    for (int j = 0; j < kWidth; ++j) a.step(factor * g.value[j], p.value[j], m.value[j], v.value[j]);
    p.store(a.p + i), m.store(a.m + i), v.store(a.v + i);
  });
}

void adamw_step_cuda(std::span<ops::AdamWUpdate> updates, const Tensor& scale) {
  std::vector<AdamW> list;
  for (auto& [parameter, gradient, m, v, params] : updates)
    list.push_back({parameter.numel(), gradient.device_data<float>(), parameter.device_data<float>(),
                    m.device_data<float>(), v.device_data<float>(), scalar::AdamW<float>::of(params)});
  for_each_table(std::span<const AdamW>(list), [&](const TensorTable<AdamW>& table, const Launch& shape) {
    launch<adamw_kernel>(shape, table, scale.device_data<double>());
  });
}

struct Sgd {
  i64 count;
  const float* g;
  float *p, *buffer;  // no buffer: null
  scalar::Sgd<float> step;
  bool first_step;
};

__global__ void sgd_kernel(TensorTable<Sgd> table, const double* scale) {
  if (std::isnan(*scale)) return;
  const float factor = static_cast<float>(*scale);
  const auto [s, begin, end] = table.share();
  each_piece<float>(begin, end, {s.g, s.p, s.buffer}, [&]<int kWidth>(i64 i) {
    const auto g = Channels<kWidth>::load(s.g + i);
    auto p = Channels<kWidth>::load(s.p + i);
    if (s.buffer) {
      auto buffer = s.first_step ? Channels<kWidth>::zero() : Channels<kWidth>::load(s.buffer + i);
      for (int j = 0; j < kWidth; ++j) s.step(factor * g.value[j], p.value[j], buffer.value[j]);
      buffer.store(s.buffer + i);
    } else {
      for (int j = 0; j < kWidth; ++j) s.step(factor * g.value[j], p.value[j]);
    }
    p.store(s.p + i);
  });
}

void sgd_step_cuda(std::span<ops::SgdUpdate> updates, const Tensor& scale) {
  std::vector<Sgd> list;
  for (auto& [parameter, gradient, buffer, params] : updates)
    list.push_back({parameter.numel(), gradient.device_data<float>(), parameter.device_data<float>(),
                    params.momentum != 0 ? buffer.device_data<float>() : nullptr, scalar::Sgd<float>::of(params),
                    params.first_step});
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
  each_piece<float>(begin, end, {l.source, l.target}, [&]<int kWidth>(i64 i) {
    const auto source = Channels<kWidth>::load(l.source + i);
    auto target = Channels<kWidth>::load(l.target + i);
    for (int j = 0; j < kWidth; ++j) target.value[j] = scalar::lerp(target.value[j], source.value[j], weight);
    target.store(l.target + i);
  });
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
