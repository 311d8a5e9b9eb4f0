#include "ops/sps_deform_conv2d.h"

#include "ops/sps_checks.h"

namespace tessera::ops {

namespace {

// Returns Fi.
i64 check_inputs(const char* op, const SpsStructure& structure, const Tensor& active, const Tensor& passive,
                 const Tensor& offset) {
  check_sps_structure(op, structure);
  const i64 Fi = check_sps_features(op, structure.active(), structure.passive, active, passive);
  check_operand(op, "offset", offset, parameter_dtype(active.dtype()), {structure.active(), 2 * kSpsPositions});
  return Fi;
}

}  // namespace

Tensor sps_deform_conv2d(const SpsStructure& structure, const Tensor& active, const Tensor& passive,
                         const Tensor& offset, const Tensor& weight, const Tensor& bias) {
  const i64 Fi = check_inputs("sps_deform_conv2d", structure, active, passive, offset);
  const i64 Fo = check_sps_weight("sps_deform_conv2d", weight, active.dtype(), Fi);
  if (bias.defined()) check_operand("sps_deform_conv2d", "bias", bias, active.dtype(), {Fo});
  Tensor y = Tensor::empty({structure.active(), Fo}, active.dtype(), active.device());
  sps_deform_conv2d_kernels(structure.index_map, sps_rows(structure), active, passive, offset, weight, bias, y);
  return y;
}

SpsDeformGradients sps_deform_conv2d_backward_features(const SpsStructure& structure, const Tensor& gy,
                                                       const Tensor& active, const Tensor& passive,
                                                       const Tensor& offset, const Tensor& weight) {
  const char* const op = "sps_deform_conv2d_backward_features";
  const i64 Fi = check_inputs(op, structure, active, passive, offset);
  const i64 Fo = check_sps_weight(op, weight, active.dtype(), Fi);
  check_operand(op, "gy", gy, active.dtype(), {structure.active(), Fo});
  SpsDeformGradients g{zeros_like(active), zeros_like(passive), empty_like(offset)};
  sps_deform_conv2d_backward_features_kernels(structure.index_map, sps_rows(structure), gy, active, passive, offset,
                                              weight, g.offset, g.passive, g.active);
  return g;
}

Tensor sps_deform_conv2d_backward_weight(const SpsStructure& structure, const Tensor& gy, const Tensor& active,
                                         const Tensor& passive, const Tensor& offset, const Shape& weight_shape) {
  const char* const op = "sps_deform_conv2d_backward_weight";
  const i64 Fi = check_inputs(op, structure, active, passive, offset);
  Tensor gw = Tensor::empty(weight_shape, active.dtype(), active.device());
  const i64 Fo = check_sps_weight(op, gw, active.dtype(), Fi);
  check_operand(op, "gy", gy, active.dtype(), {structure.active(), Fo});
  sps_deform_conv2d_backward_weight_kernels(structure.index_map, sps_rows(structure), gy, active, passive, offset, gw);
  return gw;
}

}  // namespace tessera::ops
