#include "models/effseg/selection.h"

#include "models/roi_heads/points.h"
#include "ops/arrange.h"
#include "ops/interpolate.h"
#include "ops/pointwise.h"

namespace tessera::effseg {

namespace {

constexpr double kOutside = -1e9;  // behind all logits

}  // namespace

Tensor choose_cells(const HeadConfig& config, const StageLogits& logits, const Tensor& boundary) {
  const i64 N = logits.structure.active(), k = config.refinements;
  if (config.processing == Processing::kDenseSfm) return {};
  if (config.refine != Refine::kBoundary) {
    if (N <= k) return {};
    return ops::sps_top_mask(
        config.refine == Refine::kBranch ? logits.ref.value() : roi_heads::uncertainty(logits.seg.value()), k);
  }
  // Those outside come last, and are dropped where there are not enough inside.
  const Tensor cells = boundary.reshape({boundary.numel(), 1});
  const Tensor inside = ops::gather_rows(cells, ops::sps_rows(logits.structure)).reshape({N});
  const Tensor outside = ops::mul_scalar(ops::add_scalar(inside, -1), -kOutside);
  const Tensor first =
      ops::sps_top_mask(ops::add(roi_heads::uncertainty(logits.seg.value()), outside), k).to(DType::kF32);
  return ops::greater_equal(ops::mul(first, inside), 1);
}

Tensor refined_mask(const Tensor& before, const StageLogits& logits) {
  const i64 R = logits.structure.rois(), S = logits.structure.size();
  const Tensor seg = logits.seg.value().reshape({logits.structure.active(), 1});
  if (!before) return seg.reshape({R, S, S, 1});  // all cells, in row order
  return ops::sps_overwrite(ops::interpolate(before, S, S, ops::Interpolation::kBilinear), seg, logits.structure);
}

}  // namespace tessera::effseg
