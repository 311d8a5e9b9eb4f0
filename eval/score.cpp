#include "eval/score.h"

#include <future>

#include "data/lvis.h"
#include "eval/average_precision.h"

namespace tessera {

namespace {

enum class AnnotationKind { kCoco, kLvis, kEither };

template <AnnotationKind kind, ApTask task>
Score score_ap(const ScoreRequest& request) {
  // The annotations are read by one more thread, the results by all: neither waits for the other.
  std::future<CocoDataset> annotations =
      std::async(std::launch::async, [&request] { return load_coco(request.annotations); });
  const DetectionList detections = load_detections(request.results);
  CocoDataset dataset = annotations.get();
  if (request.coco_categories) dataset = with_coco_categories(dataset);
  ApOptions options{.areas_from_boxes = request.areas_from_boxes, .results_name = request.results.string()};
  if (request.ratio) options.boundary_ratio = *request.ratio;
  const bool lvis = kind == AnnotationKind::kLvis || (kind == AnnotationKind::kEither && is_lvis(dataset));
  const ApResult result =
      lvis ? evaluate_lvis(dataset, detections, task, options) : evaluate_coco(dataset, detections, task, options);
  return {ap_table(result), ap_json({&result, 1}), result};
}

constexpr auto kCoco = AnnotationKind::kCoco, kLvis = AnnotationKind::kLvis;

constexpr Metric kMetrics[] = {
    {"coco-segm", "COCO AP and AR of masks", score_ap<kCoco, ApTask::kSegm>, Metric::kAreasFromBoxes},
    {"coco-bbox", "COCO AP and AR of boxes", score_ap<kCoco, ApTask::kBbox>},
    {"lvis-segm", "LVIS AP and AR of masks", score_ap<kLvis, ApTask::kSegm>,
     Metric::kCocoCategories | Metric::kAreasFromBoxes},
    {"lvis-bbox", "LVIS AP and AR of boxes", score_ap<kLvis, ApTask::kBbox>, Metric::kCocoCategories},
    {"boundary-segm", "Boundary AP and AR; by the rules of LVIS if the annotations are LVIS's",
     score_ap<AnnotationKind::kEither, ApTask::kBoundary>,
     Metric::kRatio | Metric::kCocoCategories | Metric::kAreasFromBoxes},
};

}  // namespace

std::span<const Metric> metrics() {
  return kMetrics;
}

Score score_results(const std::string& name, const ScoreRequest& request) {
  std::string known;
  for (const Metric& metric : kMetrics) {
    known += (known.empty() ? "" : ", ") + std::string(metric.name);
    if (name != metric.name) continue;
    const auto check = [&](bool given, unsigned option, const char* text) {
      TESSERA_CHECK(!given || (metric.options & option), "score: metric {} does not take {}", name, text);
    };
    check(request.ratio.has_value(), Metric::kRatio, "--ratio");
    check(request.coco_categories, Metric::kCocoCategories, "--coco-categories");
    check(request.areas_from_boxes, Metric::kAreasFromBoxes, "--areas-from-boxes");
    return metric.score(request);
  }
  fail("score: there is no metric \"{}\"; {}", name, known);
}

}  // namespace tessera
