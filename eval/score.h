// Scoring a result file against an annotation file: what `tessera score` does.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "eval/coco_eval.h"

namespace tessera {

struct Score {
  std::string text;                    // for the terminal
  std::string json;                    // for a file
  std::optional<CocoEvalResult> coco;  // its curves; of the metrics coco-segm and coco-bbox
};

// Metrics: "coco-segm", "coco-bbox"; any other name is an error that lists them.
Score score_results(const std::filesystem::path& annotations, const std::filesystem::path& results,
                    const std::string& metric, CocoEvalOptions options = {});

}  // namespace tessera
