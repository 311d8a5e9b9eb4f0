// The learning rate as a pure function of the step: a resumed run needs nothing but the step.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

enum class ScheduleKind { kMultiStep, kCosine, kConstant };
inline auto names_of(ScheduleKind) {
  return std::array{std::pair{"multi_step", ScheduleKind::kMultiStep}, std::pair{"cosine", ScheduleKind::kCosine},
                    std::pair{"constant", ScheduleKind::kConstant}};
}

// Defaults: SparseInst's (270 000 steps of 64 images).
struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kMultiStep;
  std::vector<i64> milestones = {210'000, 250'000};  // multi_step: from each of these steps on, times gamma
  double gamma = 0.1;
  double final_factor = 0;  // cosine: what is left of the rate at the last step
  i64 warmup_steps = 1000;  // linear warm-up from warmup_factor
  double warmup_factor = 0.001;

  template <class Field>
  void fields(Field&& field) {
    field("kind", kind);
    field("milestones", milestones);
    field("gamma", gamma);
    field("final_factor", final_factor);
    field("warmup_steps", warmup_steps);
    field("warmup_factor", warmup_factor);
  }
};

// The factor on the base learning rate at step i of `steps` (both counted from 0), warm-up times decay:
//   warm-up     f (1 - i/w) + i/w for i < w, then 1                     (w warmup_steps, f warmup_factor)
//   multi_step  gamma ^ (number of milestones <= i)
//   cosine      final + (1 - final) (1 + cos(pi i / steps)) / 2         (Loshchilov & Hutter, SGDR, ICLR 2017)
//   constant    1
double lr_factor(const ScheduleConfig& config, i64 step, i64 steps);

}  // namespace tessera
