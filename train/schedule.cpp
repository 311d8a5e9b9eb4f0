#include "train/schedule.h"

#include <cmath>
#include <numbers>

namespace tessera {

double lr_factor(const ScheduleConfig& config, i64 step, i64 steps) {
  const double i = static_cast<double>(step);
  double factor = 1;
  if (step < config.warmup_steps) {
    const double done = i / static_cast<double>(config.warmup_steps);
    factor = config.warmup_factor * (1 - done) + done;
  }
  switch (config.kind) {
    case ScheduleKind::kMultiStep:
      for (const i64 milestone : config.milestones)
        if (step >= milestone) factor *= config.gamma;
      break;
    case ScheduleKind::kCosine: {
      const double wave = (1 + std::cos(std::numbers::pi * i / static_cast<double>(steps))) / 2;
      factor *= config.final_factor + (1 - config.final_factor) * wave;
      break;
    }
    case ScheduleKind::kConstant:
      break;
  }
  return factor;
}

}  // namespace tessera
