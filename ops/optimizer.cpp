#include "ops/optimizer.h"

namespace tessera::ops {

namespace {

void check_like(const char* op, const char* name, const Tensor& t, const Tensor& parameter) {
  TESSERA_CHECK(t.defined(), "{}: {} is undefined; it must be {} like the parameter", op, name, parameter.shape());
  TESSERA_CHECK(t.shape() == parameter.shape() && t.dtype() == parameter.dtype(),
                "{}: {} is {} {}, the parameter {} {}", op, name, name_of(t.dtype()), t.shape(),
                name_of(parameter.dtype()), parameter.shape());
}

}  // namespace

void adamw_step(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v, const AdamWParams& params) {
  check_like("adamw_step", "gradient", gradient, parameter);
  check_like("adamw_step", "m", m, parameter);
  check_like("adamw_step", "v", v, parameter);
  TESSERA_CHECK(params.step >= 1, "adamw_step: steps count from 1, got {}", params.step);
  TESSERA_CHECK(params.beta1 >= 0 && params.beta1 < 1 && params.beta2 >= 0 && params.beta2 < 1,
                "adamw_step: betas must lie in [0, 1), got {} and {}", params.beta1, params.beta2);
  adamw_step_kernels(parameter, gradient, m, v, params);
}

void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& momentum_buffer, const SgdParams& params) {
  check_like("sgd_step", "gradient", gradient, parameter);
  if (params.momentum != 0) check_like("sgd_step", "momentum_buffer", momentum_buffer, parameter);
  sgd_step_kernels(parameter, gradient, momentum_buffer, params);
}

void scale_into(Tensor& target, double factor) {
  scale_into_kernels(target, factor);
}

void lerp_into(Tensor& target, const Tensor& source, double weight) {
  check_like("lerp_into", "source", source, target);
  lerp_into_kernels(target, source, weight);
}

}  // namespace tessera::ops
