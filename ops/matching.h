// What a matching of predicted masks with targets is decided by. f32 and f64, no gradients; s(x) = 1 / (1 + exp(-x)).
//
// A row of masks is a query, [Q, P] logits over P pixels; a row of targets is an object, [K, P] in [0, 1].
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct DiceClassScoreParams {
  double eps = 1e-4;
  double dice_exponent = 0.8, class_exponent = 0.2;
};

// The score of every query with every object -> [Q, K] (SparseInst, eq. 4):
//   dice(q, k)^dice_exponent s(logits[q, classes[k]])^class_exponent
// with dice as pairwise_dice (ops/losses.h). logits [Q, C], classes i64 [K]. A class outside [0, C) is an error on the
// CPU; on other devices its scores are NaN.
Tensor dice_class_score(const Tensor& masks, const Tensor& targets, const Tensor& logits, const Tensor& classes,
                        const DiceClassScoreParams& params);

// The intersection over union of row p of masks with row p of targets, both [P, pixels] -> [P]:
//   |a and b| / (|a or b| + 1e-6),  a: s(mask) >= mask_threshold,  b: target > target_threshold.   NaN is in neither.
Tensor mask_ious(const Tensor& masks, const Tensor& targets, double mask_threshold, double target_threshold);

// scores [Q, K] holds the dice scores on entry
using DiceClassScoreKernel = void(const Tensor& logits, const Tensor& classes, const DiceClassScoreParams& params,
                                  Tensor& scores);
using MaskIousKernel = void(const Tensor& masks, const Tensor& targets, double mask_threshold, double target_threshold,
                            Tensor& ious);
inline constinit KernelTable<DiceClassScoreKernel> dice_class_score_kernels{"dice_class_score"};
inline constinit KernelTable<MaskIousKernel> mask_ious_kernels{"mask_ious"};

}  // namespace tessera::ops
