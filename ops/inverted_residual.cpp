#include "ops/inverted_residual.h"

namespace tessera::ops {

namespace {

constexpr const char* kName = "inverted_residual_packed";

void check_pointwise(const char* which, const PackedConv2d& packed) {
  const Shape& w = packed.weight_shape;
  TESSERA_CHECK(w.rank() == 4 && w[1] == 1 && w[2] == 1 && packed.params.stride == 1 && packed.params.padding == 0 &&
                    packed.params.groups == 1,
                "{}: {} must be a 1x1 convolution with stride 1, padding 0 and one group; its weight is {}", kName,
                which, w);
}

}  // namespace

Tensor inverted_residual_packed(const Tensor& x, const PackedInvertedResidual& packed, const Tensor& residual) {
  const auto& [expand, depthwise, project] = packed;
  TESSERA_CHECK(x.defined(), "{}: x is undefined", kName);
  if (expand) check_pointwise("expand", *expand);
  check_pointwise("project", project);
  const Shape& w = depthwise.weight_shape;
  TESSERA_CHECK(w.rank() == 4 && w[3] == 1 && w[0] == depthwise.params.groups,
                "{}: depthwise must have one kernel per channel; its weight is {}, its groups {}", kName, w,
                depthwise.params.groups);
  InvertedResidualDims dims{};
  if (expand) dims.expand = conv2d_dims(kName, x.shape(), expand->weight_shape, expand->params);
  dims.depthwise = conv2d_dims(kName, expand ? dims.expand.output() : x.shape(), w, depthwise.params);
  dims.project = conv2d_dims(kName, dims.depthwise.output(), project.weight_shape, project.params);

  for (const Tensor* operand : {expand ? &expand->form : &x, &depthwise.form, &project.form, &residual})
    TESSERA_CHECK(!operand->defined() || (operand->dtype() == x.dtype() && operand->device() == x.device()),
                  "{}: x is {} on {}, the packed weights or the residual {} on {}; they must have one dtype and device",
                  kName, name_of(x.dtype()), x.device(), name_of(operand->dtype()), operand->device());
  TESSERA_CHECK(!residual.defined() || residual.shape() == dims.project.output(), "{}: residual must be {}, got {}",
                kName, dims.project.output(), residual.shape());

  Tensor y = Tensor::empty(dims.project.output(), x.dtype(), x.device());
  inverted_residual_packed_kernels(dims, x, packed, residual, y);
  return y;
}

void inverted_residual_in_turn(const InvertedResidualDims& dims, const Tensor& x, const PackedInvertedResidual& packed,
                               const Tensor& residual, Tensor& y) {
  const auto map = [&](const Conv2dDims& d) { return Tensor::empty(d.output(), x.dtype(), x.device()); };
  Tensor expanded = x;
  if (packed.expand) {
    expanded = map(dims.expand);
    conv2d_packed_kernels(dims.expand, x, *packed.expand, Tensor(), expanded);
  }
  Tensor filtered = map(dims.depthwise);
  conv2d_packed_kernels(dims.depthwise, expanded, packed.depthwise, Tensor(), filtered);
  conv2d_packed_kernels(dims.project, filtered, packed.project, residual, y);
}

}  // namespace tessera::ops
