// Average precision of the Cityscapes instance task, as the official script computes it (mcordts/cityscapesScripts,
// evalInstanceLevelSemanticLabeling), and the boundary variant of it (Cheng et al., Boundary IoU, CVPR 2021).
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/cityscapes.h"

namespace tessera {

// 0.5 + i * 0.050000000000000044: sums of a rounded step, as the official script has them; they drift upward. An
// overlap must be greater than the threshold.
inline constexpr size_t kCityscapesThresholds = 10;
constexpr double cityscapes_threshold(size_t t) {
  return 0.5 + static_cast<double>(t) * 0.050000000000000044;
}

struct CityscapesEvalOptions {
  // Set: the overlap of two objects is the lesser of the overlaps of their masks and of their boundaries, which are
  // this share of the picture's diagonal thick (0.005 is usual).
  std::optional<double> boundary_ratio;
  std::function<void(i64 done, i64 total)> progress;  // of pictures; called by one thread at a time
};

// What was found in picture `i` of a list, which has this size; the mask of a label that is no class of the task may be
// left out. Called by several threads at once.
using CityscapesResults = std::function<std::vector<CityscapesFound>(i64 i, i64 height, i64 width)>;
// Those of result files (data/cityscapes.h).
CityscapesResults cityscapes_result_files(std::span<const CityscapesImage> images, const std::filesystem::path& root);

struct CityscapesScores {
  // [class in the order of kCityscapesClasses][threshold]; NaN where no object is counted.
  std::array<std::array<double, kCityscapesThresholds>, kCityscapesClasses.size()> ap{};
  i64 images = 0, detections = 0;

  double class_ap(size_t cls) const;  // mean over the thresholds
  double class_ap50(size_t cls) const { return ap[cls][0]; }
  double mean_ap() const;  // over everything that is a number, NaN when nothing is
  double mean_ap50() const;
};

// Per class and threshold t, over all pictures:
//   - objects of at least 100 pixels are counted. Of the detections that overlap one by more than t, the one with the
//     highest confidence is right, the others are wrong; without one the object is missed;
//   - a detection that overlaps nothing of its class by more than t is wrong, unless more than the share t of its
//     pixels lies on ignored labels, groups or objects too small to count (a group that small weighs double);
//   - one that overlaps a group or a small object by more than t is neither right nor wrong.
// AP is the area under the curve of precision over recall, by the trapezium-like rule of the official script, without
// interpolation. Detections of other labels and empty masks are skipped. Errors name the file. Pictures are read one by
// one, on all OpenMP threads; the result does not depend on their number.
CityscapesScores evaluate_cityscapes(std::span<const CityscapesImage> images, const CityscapesResults& results,
                                     const CityscapesEvalOptions& options = {});
CityscapesScores evaluate_cityscapes(const std::filesystem::path& annotations, const std::filesystem::path& results,
                                     const CityscapesEvalOptions& options = {});

std::string cityscapes_table(const CityscapesScores& scores);

// {"averages": {"allAp", "allAp50%", "classes": {"person": {"ap", "ap50%"}, ...}}, "overlaps", "minRegionSizes",
// "instLabels", "resultApMatrix" [1][class][threshold]}, NaN as null: keys of the official script.
std::string cityscapes_json(const CityscapesScores& scores);

}  // namespace tessera
