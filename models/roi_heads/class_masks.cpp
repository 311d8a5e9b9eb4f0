#include "models/roi_heads/class_masks.h"

#include "autograd/arrange.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "models/roi_heads/roi_features.h"
#include "ops/arrange.h"

namespace tessera::roi_heads {

namespace {

// Boxes [R, 4] within a picture. -max(-x, -high) is min(x, high) without a rounding.
Tensor clip(const Tensor& boxes, i64 height, i64 width) {
  const i64 R = boxes.dim(0);
  const Tensor corners = boxes.reshape({2 * R, 2});
  const auto within = [&](int column, i64 high) {
    const Tensor x = ops::clamp_min(ops::slice(corners, 1, column, column + 1), 0);
    return ops::mul_scalar(ops::clamp_min(ops::mul_scalar(x, -1), -static_cast<double>(high)), -1);
  };
  return ops::concat({within(0, width), within(1, height)}, 1).reshape({R, 4});
}

}  // namespace

Var select_class(const Var& logits, const Tensor& classes) {
  const i64 R = logits.dim(0), H = logits.dim(1), W = logits.dim(2), K = logits.dim(3);
  const Var maps = reshape(permute(logits, {0, 3, 1, 2}), {R * K, H * W});        // one row per class
  const Var own = gather_rows(maps, ops::flat_rows(classes.reshape({R, 1}), K));  // [R, H W]
  return cast(reshape(own, {R, H, W, 1}), DType::kF32);
}

Tensor cell_targets(const RoiTargets& targets, const Tensor& boxes, i64 S) {
  const Tensor inside = clip(boxes, targets.masks.dim(1), targets.masks.dim(2));
  return ops::greater_equal(crop_masks(targets.masks, targets.object, inside, S), 0.5).to(DType::kF32);
}

Var mask_loss(const Var& logits, const Tensor& wanted, const RoiTargets& targets) {
  return binary_cross_entropy_with_logits(logits, wanted, Reduction::kMean) * static_cast<double>(targets.matches);
}

}  // namespace tessera::roi_heads
