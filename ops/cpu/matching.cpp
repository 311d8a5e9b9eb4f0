// Scores of a matching on the CPU: a few thousand numbers, except for the pixels of mask_ious, a row per task.
#include "ops/matching.h"

#include "ops/cpu/parallel.h"
#include "ops/scalar/libm.h"
#include "ops/scalar/matching.h"

namespace tessera::ops {

namespace {

void dice_class_score_cpu(const Tensor& logits, const Tensor& classes, const DiceClassScoreParams& params,
                          Tensor& scores) {
  dispatch_float(scores.dtype(), "dice_class_score", [&]<class T>() {
    const i64 Q = scores.dim(0), K = scores.dim(1), C = logits.dim(1);
    for (i64 k = 0; k < K; ++k) {
      const i64 label = classes.data<i64>()[k];
      TESSERA_CHECK(0 <= label && label < C, "dice_class_score: object {} has class {}, there are {} classes", k, label,
                    C);
      for (i64 q = 0; q < Q; ++q) {
        T& score = scores.data<T>()[q * K + k];
        const T probability = scalar::Libm::sigmoid(logits.data<T>()[q * C + label]);
        score = scalar::dice_class_score(score, probability, params);
      }
    }
  });
}

void mask_ious_cpu(const Tensor& masks, const Tensor& targets, double mask_threshold, double target_threshold,
                   Tensor& ious) {
  dispatch_float(masks.dtype(), "mask_ious", [&]<class T>() {
    const i64 rows = masks.dim(0), pixels = masks.dim(1);
    const T mask_bound = static_cast<T>(mask_threshold), target_bound = static_cast<T>(target_threshold);
    const T *m = masks.data<T>(), *t = targets.data<T>();
    T* out = ious.data<T>();
    parallel_ranges(rows, 1, [&](i64 begin, i64 end) {
      for (i64 p = begin; p < end; ++p) {
        scalar::Overlap<i64> overlap;
        for (i64 i = p * pixels; i < (p + 1) * pixels; ++i)
          overlap.add(scalar::Libm::sigmoid(m[i]) >= mask_bound, t[i] > target_bound);
        out[p] = static_cast<T>(overlap.iou());
      }
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    dice_class_score_kernels.add(DeviceKind::kCpu, dice_class_score_cpu),
    mask_ious_kernels.add(DeviceKind::kCpu, mask_ious_cpu),
};

}  // namespace

}  // namespace tessera::ops
