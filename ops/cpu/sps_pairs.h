// The index convolution without tiles. Passive rows cover many cells, so neighbouring active cells often read the same
// row at the same position: a pair. Its product is made once for a block of cells,
//
//   forward    p[r, t] = f[r] w[t]'                    y[a] = act(bias + the sum over t of p[ids[a, t], t])
//   gradients  g[r, t] = the sum of gy[a] over the cells a that read r at t
//              gf[r] += g[r, t] w[t]                   gw[t] += g[r, t]' f[r]
//
// and so is that of the zero row. Refined cells come as children of one parent, four by four, and share with few
// others: blocks of two hundred cells share nearly all that could be shared.
#pragma once

#include <span>

#include "ops/cpu/sps_features.h"

namespace tessera::cpu {

// y [N_A, Fo], the rows of `cells`. weight [Fo, 9 Fi], bias may be null.
template <class T>
void run_pairs(std::span<const i32> cells, const Tensor& ids, const SpsFeatures<T>& features, const Tensor& weight,
               const T* bias, bool relu, Tensor& y);

// The part of the gradients that comes from the rows `cells` of gy [N_A, Fo].
template <class T>
void add_pair_gradients(std::span<const i32> cells, const Tensor& ids, const SpsFeatures<T>& features, const Tensor& gy,
                        const Tensor& weight, const SpsGradientSums<T>& sums);

}  // namespace tessera::cpu
