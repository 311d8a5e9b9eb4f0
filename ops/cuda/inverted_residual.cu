// The inverted residual in CUDA: its three packed convolutions, one after the other (ops/inverted_residual.h). The wide
// maps between them are written and read once each; on a GPU the cache of tens of megabytes holds those of one picture.
#include "ops/inverted_residual.h"
#include "tensor/cuda/runtime.h"

namespace tessera {

namespace {

void inverted_residual_packed_cuda(const ops::InvertedResidualDims& dims, const Tensor& x,
                                   const ops::PackedInvertedResidual& packed, const Tensor& residual, Tensor& y) {
  const auto wide = [&](const ops::Conv2dDims& d) { return Tensor::empty(d.output(), x.dtype(), x.device()); };
  Tensor expanded = x;
  if (packed.expand) {
    expanded = wide(dims.expand);
    ops::conv2d_packed_kernels(dims.expand, x, *packed.expand, Tensor(), expanded);
  }
  Tensor filtered = wide(dims.depthwise);
  ops::conv2d_packed_kernels(dims.depthwise, expanded, packed.depthwise, Tensor(), filtered);
  ops::conv2d_packed_kernels(dims.project, filtered, packed.project, residual, y);
}

[[maybe_unused]] const bool kAdded =
    ops::inverted_residual_packed_kernels.add(cuda::kDevice, inverted_residual_packed_cuda);

}  // namespace

}  // namespace tessera
