// Index convolution: a 3x3 convolution of SPS features (ops/sps.h) that is computed for active cells only, f32,
// f64 and bf16.
//                                                     Picron and Tuytelaars, EffSeg, section 3.2 and its research code
//
//   y[a, o] = act(bias[o] + sum over t and i of features[ids[a, t], i] w[o, t, i])        features = [A; P; 0]
//
// for every active row a, with kernel positions t = 3 (dy + 1) + dx + 1 and ids[a, t] what the index map holds d dx
// cells to the right of a's cell and d dy below it. Outside the grid it is N_A + N_P, the zero row, for every dilation
// d >= 1.
#pragma once

#include "ops/activation.h"
#include "ops/sps.h"

namespace tessera::ops {

inline constexpr i64 kSpsPositions = 9;

// The ids of the positions; they depend on the structure and the dilation alone. Where the windows of two cells overlap
// they hold the same ids. The kernels rely on it, so these tensors come from sps_neighbours only.
struct SpsNeighbours {
  Tensor ids;       // i32 [N_A, 9]
  i64 passive = 0;  // N_P
  i64 active() const { return ids.dim(0); }
};

// Throws when the map holds an id that is no row, or an active id elsewhere than at its own cell, or there another id
// (on other devices than the CPU such an id becomes that of the zero row). N_A + N_P < 2^31.
SpsNeighbours sps_neighbours(const SpsStructure& structure, i64 dilation);

// active [N_A, Fi], passive [N_P, Fi], weight [Fo, 3, 3, Fi] or [Fo, 9 Fi] (the same memory), bias [Fo] or undefined
// -> [N_A, Fo].
Tensor sps_conv2d(const SpsNeighbours& neighbours, const Tensor& active, const Tensor& passive, const Tensor& weight,
                  const Tensor& bias, Activation activation = Activation::kNone);

// The gradients, from gy [N_A, Fo]; with a fused activation gy is the gradient before it. A passive row gathers from
// all cells that it covers. They share their work; those that are not wanted stay undefined. That of the bias is
// column_sum.
struct SpsGradients {
  Tensor active, passive, weight;
};
struct SpsGradientsWanted {
  bool features = true, weight = true;
};
SpsGradients sps_conv2d_backward(const SpsNeighbours& neighbours, const Tensor& gy, const Tensor& active,
                                 const Tensor& passive, const Tensor& weight, SpsGradientsWanted wanted = {});

using SpsConv2dKernel = void(const Tensor& ids, const Tensor& active, const Tensor& passive, const Tensor& weight,
                             const Tensor& bias, Activation activation, Tensor& y);
// Gradients that are not wanted are undefined, the others hold zeros.
using SpsConv2dBackwardKernel = void(const Tensor& ids, const Tensor& gy, const Tensor& active, const Tensor& passive,
                                     const Tensor& weight, SpsGradients& gradients);
inline constinit KernelTable<void(const Tensor& index_map, const Tensor& rows, i64 passive, i64 dilation, Tensor& ids)>
    sps_neighbours_kernels{"sps_neighbours"};
// As the papers count it: 9 Fi Fo for every active cell, padding included.
inline constinit KernelTable<SpsConv2dKernel> sps_conv2d_kernels{
    "sps_conv2d", [](const Tensor& ids, const Tensor&, const Tensor&, const Tensor& weight, auto&&...) {
      return multiply_adds(ids.dim(0) * weight.numel());
    }};
inline constinit KernelTable<SpsConv2dBackwardKernel> sps_conv2d_backward_kernels{"sps_conv2d_backward"};

}  // namespace tessera::ops
