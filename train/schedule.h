// The learning rate as a pure function of the step: a resumed run needs nothing but the step.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/fields.h"

namespace tessera {

enum class ScheduleKind { kMultiStep, kCosine, kConstant };
inline auto names_of(ScheduleKind) {
  return std::array{std::pair{"multi_step", ScheduleKind::kMultiStep}, std::pair{"cosine", ScheduleKind::kCosine},
                    std::pair{"constant", ScheduleKind::kConstant}};
}

// Defaults: SparseInst's (270 000 steps of 64 images).
struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kMultiStep;
  std::vector<i64> milestones = {210'000, 250'000};
  std::vector<double> milestone_epochs = {};
  double gamma = 0.1, final_factor = 0;
  i64 warmup_steps = 1000;
  double warmup_epochs = 0, warmup_factor = 0.001;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(kind, "what the rate does after the warm-up");
    TESSERA_FIELD(milestones, "multi_step: from each of these steps on, times gamma", at_least(0));
    TESSERA_FIELD(milestone_epochs, "the same after so many epochs, in place of milestones; []: as those say",
                  above(0));
    TESSERA_FIELD(gamma, "multi_step: factor at a milestone", between(0, 1));
    TESSERA_FIELD(final_factor, "cosine: share of the rate that is left at the last step", between(0, 1));
    TESSERA_FIELD(warmup_steps, "steps of the linear warm-up; 0: none", at_least(0));
    TESSERA_FIELD(warmup_epochs, "the same in epochs, in place of warmup_steps; 0: as that says", at_least(0));
    TESSERA_FIELD(warmup_factor, "share of the rate at which the warm-up begins", between(0, 1));
  }
};

// The factor on the base learning rate at step i of `steps` (both counted from 0), warm-up times decay:
//   warm-up     f (1 - i/w) + i/w for i < w, then 1                     (w warmup_steps, f warmup_factor)
//   multi_step  gamma ^ (number of milestones <= i)
//   cosine      final + (1 - final) (1 + cos(pi i / steps)) / 2         (Loshchilov & Hutter, SGDR, ICLR 2017)
//   constant    1
double lr_factor(const ScheduleConfig& config, i64 step, i64 steps);

}  // namespace tessera
