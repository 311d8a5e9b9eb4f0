// Pointwise operators.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

Tensor add(const Tensor& a, const Tensor& b);       // with broadcasting
void add_into(Tensor& target, const Tensor& term);  // target += term, same shape: how gradients accumulate

}  // namespace tessera::ops
