#include "ops/sps_conv2d.h"

#include <limits>

#include "ops/sps_checks.h"

namespace tessera::ops {

namespace {

void check_neighbours(const char* op, const SpsNeighbours& neighbours) {
  const Tensor& ids = neighbours.ids;
  TESSERA_CHECK(ids.defined() && ids.dtype() == DType::kI32 && ids.rank() == 2 && ids.dim(1) == kSpsPositions,
                "{}: the neighbours must be i32 [N_A, 9] (sps_neighbours makes them), got {} {}", op,
                ids.defined() ? name_of(ids.dtype()) : "undefined", ids.shape());
}

}  // namespace

SpsNeighbours sps_neighbours(const SpsStructure& structure, i64 dilation) {
  check_sps_structure("sps_neighbours", structure);
  TESSERA_CHECK(dilation >= 1, "sps_neighbours: the dilation must be at least 1, got {}", dilation);
  TESSERA_CHECK(structure.active() + structure.passive < std::numeric_limits<i32>::max(),
                "sps_neighbours: {} active and {} passive rows are too many", structure.active(), structure.passive);
  SpsNeighbours neighbours{Tensor::empty({structure.active(), kSpsPositions}, DType::kI32, structure.cells.device()),
                           structure.passive};
  // Beyond the grid's side every position but the middle one is outside: a larger dilation gives the same.
  sps_neighbours_kernels(structure.index_map, sps_rows(structure), structure.passive,
                         std::min(dilation, structure.size()), neighbours.ids);
  return neighbours;
}

Tensor sps_conv2d(const SpsNeighbours& neighbours, const Tensor& active, const Tensor& passive, const Tensor& weight,
                  const Tensor& bias, Activation activation) {
  check_neighbours("sps_conv2d", neighbours);
  const i64 Fi = check_sps_features("sps_conv2d", neighbours.active(), neighbours.passive, active, passive);
  const i64 Fo = check_sps_weight("sps_conv2d", weight, active.dtype(), Fi);
  if (bias.defined()) check_operand("sps_conv2d", "bias", bias, active.dtype(), {Fo});
  Tensor y = Tensor::empty({neighbours.active(), Fo}, active.dtype(), active.device());
  sps_conv2d_kernels(neighbours.ids, active, passive, weight, bias, activation, y);
  return y;
}

SpsGradients sps_conv2d_backward(const SpsNeighbours& neighbours, const Tensor& gy, const Tensor& active,
                                 const Tensor& passive, const Tensor& weight, SpsGradientsWanted wanted) {
  const char* const op = "sps_conv2d_backward";
  check_neighbours(op, neighbours);
  const i64 Fi = check_sps_features(op, neighbours.active(), neighbours.passive, active, passive);
  const i64 Fo = check_sps_weight(op, weight, active.dtype(), Fi);
  check_operand(op, "gy", gy, active.dtype(), {neighbours.active(), Fo});
  const auto zeros = [&](bool want, const Tensor& like) { return want ? zeros_like(like) : Tensor(); };
  SpsGradients g{zeros(wanted.features, active), zeros(wanted.features, passive), zeros(wanted.weight, weight)};
  sps_conv2d_backward_kernels(neighbours.ids, gy, active, passive, weight, g);
  return g;
}

}  // namespace tessera::ops
