// Scores of a matching in CUDA, formulas in ops/matching.h. The scores are a few thousand numbers, one thread each;
// mask_ious reads both masks once, a block per row.
#include "ops/cuda/block_reduce.h"
#include "ops/matching.h"
#include "ops/scalar/libm.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

// In double, as on the CPU: what is a tie there is one here.
__global__ void dice_class_score_kernel(i64 Q, i64 K, i64 C, const float* logits, const i64* classes,
                                        ops::DiceClassScoreParams params, float* scores) {
  for (const i64 i : indices(Q * K)) {
    const i64 q = i / K, label = classes[i % K];
    if (label < 0 || label >= C) {
      scores[i] = NAN;
      continue;
    }
    const float probability = scalar::Libm::sigmoid(logits[q * C + label]);
    scores[i] = static_cast<float>(std::pow(static_cast<double>(scores[i]), params.dice_exponent) *
                                   std::pow(static_cast<double>(probability), params.class_exponent));
  }
}

__global__ void mask_ious_kernel(i64 pixels, const float* masks, const float* targets, float mask_threshold,
                                 float target_threshold, float* ious) {
  const i64 row = blockIdx.x;
  int both = 0, either = 0;
  for (i64 i = row * pixels + threadIdx.x; i < (row + 1) * pixels; i += blockDim.x) {
    const bool in_mask = scalar::Libm::sigmoid(masks[i]) >= mask_threshold, in_target = targets[i] > target_threshold;
    both += in_mask && in_target;
    either += in_mask || in_target;
  }
  both = block_sum(both);
  either = block_sum(either);
  if (threadIdx.x == 0) ious[row] = static_cast<float>(both / (either + 1e-6));
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
