// The golden results of the panoptic merge: effseg_panoptic, steps 1 to 5 on stored probabilities, labels and scores.
//
// Metadata: things, score_thr, nms_thr, pixel_thr, keep_thr, min_area.
#include <algorithm>

#include "models/roi_heads/panoptic.h"
#include "tests/goldens/network_goldens.h"

namespace tessera::goldens {

namespace {

constexpr double kScore = 1e-6, kOverlap = 1e-6;

int check_panoptic(const SafeTensors& file, Report& report) {
  const auto number = [&](const char* key) { return std::stod(file.metadata().at(key)); };
  const roi_heads::PanopticConfig config{.score_threshold = number("score_thr"),
                                         .nms_threshold = number("nms_thr"),
                                         .pixel_threshold = number("pixel_thr"),
                                         .least_overlap = number("keep_thr"),
                                         .least_area = static_cast<i64>(number("min_area")),
                                         .things = static_cast<i64>(number("things"))};
  const auto on_device = [&](const char* name) { return file[name].to(report.device()); };
  const roi_heads::PanopticSegments got =
      roi_heads::panoptic_segments(on_device("prob"), on_device("labels_in"), on_device("scores_in"), config);

  std::vector<i64> after_nms, kept, areas, labels;
  std::vector<float> overlaps, scores;
  for (const auto& [prediction, area, overlap, stays] : got.candidates) {
    after_nms.push_back(prediction);
    areas.push_back(area);
    overlaps.push_back(static_cast<float>(overlap));
    if (stays) kept.push_back(prediction);
  }
  for (const auto& [class_index, score, prediction] : got.segments) {
    labels.push_back(class_index);
    scores.push_back(static_cast<float>(score));
  }
  const std::string title = file.path().stem().string() + "/";
  const auto equal = [&](const char* name, std::span<const i64> ids) {
    report.check(title + name, std::ranges::equal(ids, file[name].span<i64>()) ? 0 : 1, 0, "ids must be equal");
  };
  equal("after_nms", after_nms);
  equal("kept", kept);
  equal("areas", areas);
  equal("labels", labels);
  equal("segments", got.ids.span<i64>());
  report.check(title + "scores", relative_error(Tensor::from(scores), file["scores"]), kScore);
  report.check(title + "overlap", relative_error(Tensor::from(overlaps), file["overlap"]), kOverlap);
  return 7;
}

const bool kAdded = add_network(
    {"Panoptic segments", [](const SafeTensors& file) { return file.contains("after_nms"); }, check_panoptic});

}  // namespace

}  // namespace tessera::goldens
