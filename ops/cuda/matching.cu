// Scores of a matching in CUDA, formulas in ops/matching.h. The scores are a few thousand numbers, one thread each;
// mask_ious reads both masks once, a block per row.
#include "ops/cuda/block_reduce.h"
#include "ops/scalar/libm.h"
#include "ops/scalar/matching.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

__global__ void dice_class_score_kernel(i64 Q, i64 K, i64 C, const float* logits, const i64* classes,
                                        ops::DiceClassScoreParams params, float* scores) {
  for (const i64 i : indices(Q * K)) {
    const i64 q = i / K, label = classes[i % K];
    if (label < 0 || label >= C) {
      scores[i] = NAN;
      continue;
    }
    const float probability = scalar::Libm::sigmoid(logits[q * C + label]);
    scores[i] = scalar::dice_class_score(scores[i], probability, params);
  }
}

__global__ void mask_ious_kernel(i64 pixels, const float* masks, const float* targets, float mask_threshold,
                                 float target_threshold, float* ious) {
  const i64 row = blockIdx.x;
  scalar::Overlap<int> overlap;
  for (i64 i = row * pixels + threadIdx.x; i < (row + 1) * pixels; i += blockDim.x)
    overlap.add(scalar::Libm::sigmoid(masks[i]) >= mask_threshold, targets[i] > target_threshold);
  overlap = {block_sum(overlap.both), block_sum(overlap.either)};
  if (threadIdx.x == 0) ious[row] = static_cast<float>(overlap.iou());
}

void dice_class_score_cuda(const Tensor& logits, const Tensor& classes, const ops::DiceClassScoreParams& params,
                           Tensor& scores) {
  launch<dice_class_score_kernel>(over(scores.numel()), scores.dim(0), scores.dim(1), logits.dim(1),
                                  logits.device_data<float>(), classes.device_data<i64>(), params,
                                  scores.device_data<float>());
}

void mask_ious_cuda(const Tensor& masks, const Tensor& targets, double mask_threshold, double target_threshold,
                    Tensor& ious) {
  launch<mask_ious_kernel>({.grid = static_cast<unsigned>(masks.dim(0)), .block = kThreads}, masks.dim(1),
                           masks.device_data<float>(), targets.device_data<float>(), static_cast<float>(mask_threshold),
                           static_cast<float>(target_threshold), ious.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::dice_class_score_kernels.add(kDevice, dice_class_score_cuda),
    ops::mask_ious_kernels.add(kDevice, mask_ious_cuda),
};

}  // namespace

}  // namespace tessera
