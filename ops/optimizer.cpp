#include "ops/optimizer.h"

namespace tessera::ops {

namespace {

// Entry i's tensor `name` beside the first of the entry, `of`.
void check_like(const char* op, size_t i, const char* name, const Tensor& t, const char* of, const Tensor& like) {
  TESSERA_CHECK(t.defined(), "{}: {} {} is undefined; it must be {} like the {}", op, name, i, like.shape(), of);
  TESSERA_CHECK(t.shape() == like.shape() && t.dtype() == like.dtype(), "{}: {} {} is {} {}, the {} {} {}", op, name, i,
                name_of(t.dtype()), t.shape(), of, name_of(like.dtype()), like.shape());
  TESSERA_CHECK(t.device() == like.device(), "{}: {} {} lies on {}, the {} on {}", op, name, i, t.device(), of,
                like.device());
}

void check_first(const char* op, size_t i, const char* name, const Tensor& t, const Tensor& scale) {
  TESSERA_CHECK(t.defined(), "{}: {} {} is undefined", op, name, i);
  TESSERA_CHECK(is_compute_float(t.dtype()), "{}: dtype {} is not supported, use f32 or f64", op, name_of(t.dtype()));
  TESSERA_CHECK(t.device() == scale.device(), "{}: {} {} lies on {}, other tensors on {}", op, name, i, t.device(),
                scale.device());
}

// `scale`, or one that changes nothing on the device of `first`.
Tensor scale_or_one(const char* op, const Tensor& scale, const Tensor& first) {
  if (!scale) return Tensor::full({1}, 1, DType::kF64, first ? first.device() : Device{});
  TESSERA_CHECK(scale.numel() == 1 && scale.dtype() == DType::kF64, "{}: the scale must be one f64, got {} {}", op,
                name_of(scale.dtype()), scale.shape());
  return scale;
}

}  // namespace

GradientScale clip_grad_norm(const Tensor& sum_of_squares, double max_norm, const Tensor& watched) {
  TESSERA_CHECK(sum_of_squares.defined() && sum_of_squares.numel() == 1 && sum_of_squares.dtype() == DType::kF64,
                "clip_grad_norm: the sum of squares must be one f64, got {} {}", name_of(sum_of_squares.dtype()),
                sum_of_squares.shape());
  TESSERA_CHECK(!watched || is_compute_float(watched.dtype()),
                "clip_grad_norm: dtype {} is not supported, use f32 or f64", name_of(watched.dtype()));
  const auto number = [&] { return Tensor::empty({1}, DType::kF64, sum_of_squares.device()); };
  GradientScale result{number(), number()};
  clip_grad_norm_kernels(sum_of_squares, max_norm, watched, result.norm, result.scale);
  return result;
}

void adamw_step(std::span<AdamWUpdate> updates, const Tensor& scale) {
  if (updates.empty()) return;
  constexpr const char* kOp = "adamw_step";
  const Tensor factor = scale_or_one(kOp, scale, updates[0].parameter);
  for (size_t i = 0; i < updates.size(); ++i) {
    const auto& [parameter, gradient, m, v, params] = updates[i];
    check_first(kOp, i, "parameter", parameter, factor);
    check_like(kOp, i, "gradient", gradient, "parameter", parameter);
    check_like(kOp, i, "m", m, "parameter", parameter);
    check_like(kOp, i, "v", v, "parameter", parameter);
    TESSERA_CHECK(params.step >= 1, "adamw_step: steps count from 1, got {}", params.step);
    TESSERA_CHECK(params.beta1 >= 0 && params.beta1 < 1 && params.beta2 >= 0 && params.beta2 < 1,
                  "adamw_step: betas must lie in [0, 1), got {} and {}", params.beta1, params.beta2);
  }
  adamw_step_kernels(updates, factor);
}

void sgd_step(std::span<SgdUpdate> updates, const Tensor& scale) {
  if (updates.empty()) return;
  constexpr const char* kOp = "sgd_step";
  const Tensor factor = scale_or_one(kOp, scale, updates[0].parameter);
  for (size_t i = 0; i < updates.size(); ++i) {
    const auto& [parameter, gradient, momentum_buffer, params] = updates[i];
    check_first(kOp, i, "parameter", parameter, factor);
    check_like(kOp, i, "gradient", gradient, "parameter", parameter);
    if (params.momentum != 0) check_like(kOp, i, "momentum_buffer", momentum_buffer, "parameter", parameter);
  }
  sgd_step_kernels(updates, factor);
}

void lerp_into(std::span<LerpUpdate> updates, double weight, const Tensor& scale) {
  if (updates.empty()) return;
  constexpr const char* kOp = "lerp_into";
  const Tensor factor = scale_or_one(kOp, scale, updates[0].target);
  for (size_t i = 0; i < updates.size(); ++i) {
    check_first(kOp, i, "target", updates[i].target, factor);
    check_like(kOp, i, "source", updates[i].source, "target", updates[i].target);
  }
  lerp_into_kernels(updates, weight, factor);
}

}  // namespace tessera::ops
