// What the operators on SPS features check alike.
#pragma once

#include "ops/checks.h"

namespace tessera::ops {

// Returns Fi.
inline i64 check_sps_features(const char* op, i64 active_rows, i64 passive_rows, const Tensor& active,
                              const Tensor& passive) {
  TESSERA_CHECK(active.defined() && active.rank() == 2, "{}: the active features must be [N_A, F], got {}", op,
                active.shape());
  const i64 Fi = active.dim(1);
  check_operand(op, "active", active, active.dtype(), {active_rows, Fi});
  check_operand(op, "passive", passive, active.dtype(), {passive_rows, Fi});
  return Fi;
}

// [Fo, 3, 3, Fi], or [Fo, 9 Fi] as the checkpoints hold it: the same memory. Returns Fo.
inline i64 check_sps_weight(const char* op, const Tensor& weight, DType dtype, i64 Fi) {
  TESSERA_CHECK(weight.defined() && weight.rank() >= 2, "{}: weight must be [Fo, 3, 3, {}], got {}", op, Fi,
                weight.shape());
  const i64 Fo = weight.dim(0);
  if (weight.rank() == 2)
    check_operand(op, "weight", weight, dtype, {Fo, 9 * Fi});
  else
    check_operand(op, "weight", weight, dtype, {Fo, 3, 3, Fi});
  return Fo;
}

}  // namespace tessera::ops
