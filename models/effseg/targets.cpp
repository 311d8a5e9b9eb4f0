#include "models/effseg/targets.h"

#include <cmath>
#include <limits>

#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/grid_sample.h"
#include "ops/pointwise.h"

namespace tessera::effseg {

Tensor above(const Tensor& x, double value) {  // at least the next number that f32 has
  const float next = std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
  return ops::greater_equal(x, double{next}).to(DType::kF32);
}

StageTargets stage_targets(const HeadConfig& config, const ops::SpsStructure& structure, const Tensor& crop,
                           const roi_heads::RoiTargets& targets, const Tensor& boxes) {
  const i64 N = structure.active();
  const Tensor part = ops::gather_rows(crop.reshape({crop.numel(), 1}), ops::sps_rows(structure)).reshape({N});
  nn::keep(fmt::format("target_value.{}", structure.size()), Var(part));

  StageTargets result;
  if (config.target_rule == TargetRule::kRoiAlign) {
    result.seg = above(part, 0.5);
  } else {
    const ImageSize size{targets.masks.dim(1), targets.masks.dim(2)};
    const Tensor centres = cell_centres(structure, Var(boxes), size).value();
    const Tensor object = ops::gather_rows(targets.object, column(structure, ops::kSpsRoi));
    result.seg = above(ops::sample_points(targets.masks, object, centres).reshape({N}), 0.5);
  }
  const Tensor full = ops::greater_equal(part, 1 - config.ref_eps).to(DType::kF32);
  result.ref = ops::sub(above(part, config.ref_eps), full);
  return result;
}

}  // namespace tessera::effseg
