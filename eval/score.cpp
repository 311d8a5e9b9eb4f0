#include "eval/score.h"

#include <future>

#include "data/lvis.h"
#include "eval/cityscapes_eval.h"
#include "eval/tide.h"

namespace tessera {

namespace {

struct Inputs {
  CocoDataset annotations;
  DetectionList results;
};

// The results are read by all threads, the annotations by one more: neither waits for the other.
Inputs read_inputs(const ScoreRequest& request) {
  std::future<DetectionList> results =
      std::async(std::launch::async, [&request] { return load_detections(request.results); });
  CocoDataset annotations = load_coco(request.annotations);
  return {std::move(annotations), results.get()};
}

enum class AnnotationKind { kCoco, kLvis, kEither };

template <AnnotationKind kind, ApTask task>
Score score_ap(const ScoreRequest& request) {
  auto [dataset, results] = read_inputs(request);
  if (request.coco_categories) dataset = with_coco_categories(dataset);
  ApOptions options{.areas_from_boxes = request.areas_from_boxes, .results_name = request.results.string()};
  if (request.ratio) options.boundary_ratio = *request.ratio;
  const bool lvis = kind == AnnotationKind::kLvis || (kind == AnnotationKind::kEither && is_lvis(dataset));
  ApResult result =
      lvis ? evaluate_lvis(dataset, results, task, options) : evaluate_coco(dataset, results, task, options);
  return {.text = ap_table(result), .json = ap_json({&result, 1}), .ap = std::move(result)};
}

// For the given tasks; without any for those that the results allow: masks if the first one has a mask, boxes if it has
// a box or there is none.
Score score_tide(const ScoreRequest& request, std::vector<ApTask> tasks) {
  const auto [dataset, detections] = read_inputs(request);
  if (tasks.empty()) {
    if (!detections.empty() && detections[0].segmentation) tasks.push_back(ApTask::kSegm);
    if (detections.empty() || detections[0].bbox) tasks.push_back(ApTask::kBbox);
  }
  Score score;
  std::vector<TideResult> results;
  for (const ApTask task : tasks) {
    const TideResult& result = results.emplace_back(evaluate_tide(dataset, detections, task, request.results.string()));
    score.text += tide_table(result);
    BarChart& chart = score.bars.emplace_back();
    chart.title = fmt::format("{}: dAP50 by kind of mistake, AP50 {:.2f}", name_of(task), result.ap50());
    for (size_t kind = 0; kind < kTideErrors; ++kind) chart.bars.push_back({kTideErrorNames[kind], result.dap[kind]});
    chart.bars.push_back({"FalsePos", result.dap_false_pos});
    chart.bars.push_back({"FalseNeg", result.dap_false_neg});
  }
  score.json = tide_json(results);
  return score;
}

constexpr double kCityscapesBoundary = 0.005;

template <bool boundary>
Score score_cityscapes(const ScoreRequest& request) {
  CityscapesEvalOptions options{.boundary_ratio = {}, .progress = request.progress};
  if (boundary) options.boundary_ratio = request.ratio.value_or(kCityscapesBoundary);
  const CityscapesScores scores = evaluate_cityscapes(request.annotations, request.results, options);
  BarChart chart{boundary ? "Cityscapes: boundary AP" : "Cityscapes: AP", {}};
  for (size_t cls = 0; cls < kCityscapesClasses.size(); ++cls)
    chart.bars.push_back({find_cityscapes_label(kCityscapesClasses[cls])->name, scores.class_ap(cls)});
  chart.bars.push_back({"average", scores.mean_ap()});
  return {.text = cityscapes_table(scores), .json = cityscapes_json(scores), .bars = {chart}};
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
    {"tide", "TIDE's kinds of mistakes, of masks and boxes, whichever the results have",
     [](const ScoreRequest& request) { return score_tide(request, {}); }},
    {"tide-segm", "the same of masks",
     [](const ScoreRequest& request) { return score_tide(request, {ApTask::kSegm}); }},
    {"tide-bbox", "the same of boxes",
     [](const ScoreRequest& request) { return score_tide(request, {ApTask::kBbox}); }},
    {"cityscapes", "Cityscapes AP of objects (folders: gtFine/val, and text files with masks)",
     score_cityscapes<false>},
    {"cityscapes-boundary", "the same with Boundary IoU", score_cityscapes<true>, Metric::kRatio},
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
