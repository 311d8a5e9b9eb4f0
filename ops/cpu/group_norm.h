// The steps of group normalisation (formulas in ops/group_norm.h), which batch normalisation shares: it is that of one
// sample, all rows, in which every channel is a group of its own.
#pragma once

#include "ops/group_norm.h"

namespace tessera::cpu {

// mean and rstd [N, G]; the biased variance too where it is defined.
void group_moments(const ops::GroupNormDims& dims, const Tensor& x, double eps, Tensor& mean, Tensor& rstd,
                   Tensor& variance);

// y = (x - mean) * rstd * weight + bias; weight and bias may be undefined.
void normalise(const ops::GroupNormDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
               const Tensor& mean, const Tensor& rstd, Tensor& y);

// gx of moments that depend on x; only gweight and gbias where it is undefined.
void group_norm_gradients(const ops::GroupNormDims& dims, const Tensor& gy, const Tensor& x, const Tensor& weight,
                          const Tensor& mean, const Tensor& rstd, Tensor& gweight, Tensor& gbias, Tensor& gx);

}  // namespace tessera::cpu
