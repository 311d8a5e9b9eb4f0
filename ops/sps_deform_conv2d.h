// Deformable index convolution: 3x3, without modulation (Dai et al. 2017), on SPS features (ops/sps.h): f32 and
// f64, or offset in f32 and the rest in bf16.
//                                                     Picron and Tuytelaars, EffSeg, section 4.3 and its research code
//
//   y[a, o] = bias[o] + sum over t and i of f(x_a + offset[a, 2 t], y_a + offset[a, 2 t + 1])[i] w[o, t, i]
//
// for every active row a at cell (x_a, y_a) of its grid. Offsets are in cells, x before y, and hold the kernel's own
// grid: kernel position t of an ordinary convolution has (t % 3 - 1, t / 3 - 1) times its dilation. f is bilinear
// between the features that the index map holds at the four cells around the place, where a cell outside the grid
// counts as 0. A place outside [-1, S) x [-1, S), or at a NaN, is 0 and has no gradient.
#pragma once

#include "ops/sps_conv2d.h"

namespace tessera::ops {

// active [N_A, Fi], passive [N_P, Fi], offset [N_A, 18], weight [Fo, 3, 3, Fi] or [Fo, 9 Fi], bias [Fo] or undefined
// -> [N_A, Fo].
Tensor sps_deform_conv2d(const SpsStructure& structure, const Tensor& active, const Tensor& passive,
                         const Tensor& offset, const Tensor& weight, const Tensor& bias);

// The gradients of everything that decides the samples, from gy [N_A, Fo]. Where the bilinear surface has a kink the
// derivative by an offset is that towards larger coordinates.
struct SpsDeformGradients {
  Tensor active, passive, offset;
};
SpsDeformGradients sps_deform_conv2d_backward_features(const SpsStructure& structure, const Tensor& gy,
                                                       const Tensor& active, const Tensor& passive,
                                                       const Tensor& offset, const Tensor& weight);
Tensor sps_deform_conv2d_backward_weight(const SpsStructure& structure, const Tensor& gy, const Tensor& active,
                                         const Tensor& passive, const Tensor& offset, const Shape& weight_shape);

// rows: sps_rows of the structure.
using SpsDeformConv2dKernel = void(const Tensor& index_map, const Tensor& rows, const Tensor& active,
                                   const Tensor& passive, const Tensor& offset, const Tensor& weight,
                                   const Tensor& bias, Tensor& y);
using SpsDeformConv2dBackwardFeaturesKernel = void(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                                   const Tensor& active, const Tensor& passive, const Tensor& offset,
                                                   const Tensor& weight, Tensor& goffset, Tensor& gpassive,
                                                   Tensor& gactive);
using SpsDeformConv2dBackwardWeightKernel = void(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                                 const Tensor& active, const Tensor& passive, const Tensor& offset,
                                                 Tensor& gw);
// As the papers count it: the convolution and four products for every sampled channel.
inline constinit KernelTable<SpsDeformConv2dKernel> sps_deform_conv2d_kernels{
    "sps_deform_conv2d", [](const Tensor&, const Tensor&, const Tensor& active, const Tensor&, const Tensor&,
                            const Tensor& weight, auto&&...) {
      const i64 product = active.dim(0) * weight.numel();
      return Work{product, product + 4 * kSpsPositions * active.numel()};
    }};
inline constinit KernelTable<SpsDeformConv2dBackwardFeaturesKernel> sps_deform_conv2d_backward_features_kernels{
    "sps_deform_conv2d_backward_features"};
inline constinit KernelTable<SpsDeformConv2dBackwardWeightKernel> sps_deform_conv2d_backward_weight_kernels{
    "sps_deform_conv2d_backward_weight"};

}  // namespace tessera::ops
