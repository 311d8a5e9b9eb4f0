#include "ops/matching.h"

#include "ops/losses.h"

namespace tessera::ops {

Tensor dice_class_score(const Tensor& masks, const Tensor& targets, const Tensor& logits, const Tensor& classes,
                        const DiceClassScoreParams& params) {
  constexpr const char* kOp = "dice_class_score";
  TESSERA_CHECK(masks.rank() == 2 && logits.rank() == 2 && masks.dim(0) == logits.dim(0),
                "{}: masks must be [Q, P] and logits [Q, C], got {} and {}", kOp, masks.shape(), logits.shape());
  TESSERA_CHECK(classes.dtype() == DType::kI64 && targets.rank() == 2 && classes.shape() == Shape{targets.dim(0)},
                "{}: one class (i64) per row of the targets {} is needed, got {} {}", kOp, targets.shape(),
                name_of(classes.dtype()), classes.shape());
  TESSERA_CHECK(masks.dtype() == logits.dtype(), "{}: masks are {}, logits {}", kOp, name_of(masks.dtype()),
                name_of(logits.dtype()));
  Tensor scores = pairwise_dice(masks, targets, params.eps);
  dice_class_score_kernels(logits, classes, params, scores);
  return scores;
}

Tensor mask_ious(const Tensor& masks, const Tensor& targets, double mask_threshold, double target_threshold) {
  TESSERA_CHECK(masks.rank() == 2 && masks.shape() == targets.shape() && masks.dtype() == targets.dtype(),
                "mask_ious: masks and targets must be of one shape [P, pixels] and dtype, got {} {} and {} {}",
                name_of(masks.dtype()), masks.shape(), name_of(targets.dtype()), targets.shape());
  Tensor ious = Tensor::empty({masks.dim(0)}, masks.dtype(), masks.device());
  mask_ious_kernels(masks, targets, mask_threshold, target_threshold, ious);
  return ious;
}

}  // namespace tessera::ops
