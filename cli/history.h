// What the log of a run tells, as curves and as the figures of its evaluations.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/chart.h"
#include "train/log.h"

namespace tessera {

// Curves by name: "loss", "loss_dice", "lr", "grad_norm", "segm AP", "val loss", ... Numbers that are not finite are
// passed over and counted.
struct History {
  std::map<std::string, Series> curves;
  Scores last_evaluation;
  i64 steps = 0;
  i64 lines = 0, numbers = 0;  // passed over

  explicit History(const LogContents& log);

  // Each metric's first two figures: "segm AP", "segm AP50", ...
  std::vector<std::string> main_figures() const;
  // "; 3 lines of the log, cut off or unknown, were passed over", or nothing.
  std::string passed_over() const;
};

}  // namespace tessera
