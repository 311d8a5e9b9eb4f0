// The inverted residual (Sandler et al. 2018) in inference: three packed convolutions in one operator.
//
//   y = project(depthwise(expand(x))) + residual
//
// expand: 1x1, to several times the channels, or absent; depthwise: a kernel per channel; project: 1x1 to few channels.
// Each adds its bias and takes its activation, the last one after the residual. Kernels need not make the wide maps
// between them as wholes; for maps of a few rows the three simply run. The result equals that of the three
// conv2d_packed, one after the other, within rounding.
#pragma once

#include "ops/conv2d.h"

namespace tessera::ops {

struct PackedInvertedResidual {
  const PackedConv2d* expand;  // or null
  const PackedConv2d& depthwise;
  const PackedConv2d& project;
};

// The sizes of the three convolutions; without expand, its x and y are the depthwise convolution's x.
struct InvertedResidualDims {
  Conv2dDims expand, depthwise, project;
};

using InvertedResidualPackedKernel = void(const InvertedResidualDims& dims, const Tensor& x,
                                          const PackedInvertedResidual& packed, const Tensor& residual, Tensor& y);
inline constinit KernelTable<InvertedResidualPackedKernel> inverted_residual_packed_kernels{
    "inverted_residual_packed",
    [](const InvertedResidualDims& dims, const Tensor&, const PackedInvertedResidual& packed, auto&&...) {
      return multiply_adds((packed.expand ? dims.expand.multiply_adds() : 0) + dims.depthwise.multiply_adds() +
                           dims.project.multiply_adds());
    }};

// A kernel that runs the three convolutions, whatever the device: for devices without another one, and for the shapes
// that another one is not made for.
void inverted_residual_in_turn(const InvertedResidualDims& dims, const Tensor& x, const PackedInvertedResidual& packed,
                               const Tensor& residual, Tensor& y);

// x [N, H, W, Cin] -> [N, Ho, Wo, Cout]; residual has y's shape, or is undefined.
Tensor inverted_residual_packed(const Tensor& x, const PackedInvertedResidual& packed, const Tensor& residual = {});

}  // namespace tessera::ops
