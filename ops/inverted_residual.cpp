#include "ops/inverted_residual.h"

namespace tessera::ops {

namespace {

constexpr const char* kName = "inverted_residual_packed";
// Lower maps fit the caches as wholes, and the rows that neighbouring threads both make would be too many of all.
constexpr i64 kFewestRows = 16;

void check_pointwise(const char* which, const PackedConv2d& packed) {
  const Shape& w = packed.weight_shape;
  TESSERA_CHECK(w.rank() == 4 && w[1] == 1 && w[2] == 1 && packed.params.stride == 1 && packed.params.padding == 0 &&
                    packed.params.groups == 1,
                "{}: {} must be a 1x1 convolution with stride 1, padding 0 and one group; its weight is {}", kName,
                which, w);
}

// Whether the convolution has a form for the device, and not Winograd's, which is for 3x3 convolutions.
bool has_form(const PackedConv2d& packed) {
  return packed.form.defined() && !packed.winograd;
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

  const bool kernel = inverted_residual_packed_kernels.supports(x.device().kind) && w[0] > 1 &&
                      dims.project.Ho >= kFewestRows && (!expand || has_form(*expand)) && has_form(depthwise) &&
                      has_form(project);
  if (!kernel)
    return conv2d_packed(conv2d_packed(expand ? conv2d_packed(x, *expand) : x, depthwise), project, residual);
  Tensor y = Tensor::empty(dims.project.output(), x.dtype(), x.device());
  inverted_residual_packed_kernels(dims, x, packed, residual, y);
  return y;
}

}  // namespace tessera::ops
