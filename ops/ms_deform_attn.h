// Multi-scale deformable attention (Zhu et al. 2021, "Deformable DETR", eq. 3), as in its reference: f32 and f64, or
// value and y in bf16 and the rest in f32.
//
//   y[n, q, m, :] = sum over levels l and points p of
//                   attention_weights[n, q, m, l, p] * value_l[n, m](sampling_locations[n, q, m, l, p])
//
// value holds the pixels of all levels one level after the other, each row by row: level l has H_l W_l of the S tokens.
// value_l[n, m](x, y) is bilinear between the pixels of head m of that level at column x W_l - 1/2 and row y H_l - 1/2:
// 0 and 1 are the outer edges of the map. Pixels outside count as 0; a sample beyond [-1, size) in pixels, or at NaN or
// infinity, is 0 and has no gradient. The derivative by a location is that of the bilinear surface towards larger
// coordinates where it has a kink. The weights are used as they are: their softmax is the caller's.
//
// The gradient of value is summed in a fixed order: the bits do not depend on the number of threads.
#pragma once

#include <vector>

#include "ops/kernel_table.h"

namespace tessera::ops {

struct LevelSize {
  i64 height = 0, width = 0;
};

// value [N, S, heads, d], levels L sizes with S pixels, sampling_locations [N, Q, heads, L, P, 2] (x, y),
// attention_weights [N, Q, heads, L, P] -> [N, Q, heads * d]. N, Q, P and d may be 0.
Tensor ms_deform_attn(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& sampling_locations,
                      const Tensor& attention_weights);

struct MsDeformAttnGradients {
  Tensor value, sampling_locations, attention_weights;
};
MsDeformAttnGradients ms_deform_attn_backward(const Tensor& gy, const Tensor& value,
                                              const std::vector<LevelSize>& levels, const Tensor& sampling_locations,
                                              const Tensor& attention_weights);

using MsDeformAttnKernel = void(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& locations,
                                const Tensor& attention, Tensor& y);
using MsDeformAttnBackwardKernel = void(const Tensor& gy, const Tensor& value, const std::vector<LevelSize>& levels,
                                        const Tensor& locations, const Tensor& attention, Tensor& gvalue,
                                        Tensor& glocations, Tensor& gattention);
inline constinit KernelTable<MsDeformAttnKernel> ms_deform_attn_kernels{
    "ms_deform_attn",
    [](const Tensor&, const std::vector<LevelSize>&, const Tensor&, const Tensor& attention, Tensor& y) {
      return Work{0, 5 * attention.dim(3) * attention.dim(4) * y.numel()};
    }};
inline constinit KernelTable<MsDeformAttnBackwardKernel> ms_deform_attn_backward_kernels{"ms_deform_attn_backward"};

}  // namespace tessera::ops
