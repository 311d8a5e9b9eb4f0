#include "eval/score.h"

#include "eval/cityscapes_eval.h"
#include "eval/coco_eval.h"
#include "eval/tide.h"

namespace tessera {

namespace {

template <CocoTask task>
Score score_coco(const ScoreRequest& request) {
  const CocoDataset dataset = load_coco(request.annotations);
  const std::vector<Detection> detections = load_results(request.results);
  const CocoEvalResult result = evaluate_coco(dataset, detections, task, {.results_name = request.results.string()});
  return {coco_table(result), coco_json({&result, 1}), {}};
}

// For the given tasks; without any for those that the results allow: masks if the first one has a mask, boxes if it has
// a box or there is none.
Score score_tide(const ScoreRequest& request, std::vector<CocoTask> tasks) {
  const CocoDataset dataset = load_coco(request.annotations);
  const std::vector<Detection> detections = load_results(request.results);
  if (tasks.empty()) {
    if (!detections.empty() && detections[0].segmentation) tasks.push_back(CocoTask::kSegm);
    if (detections.empty() || detections[0].bbox) tasks.push_back(CocoTask::kBbox);
  }
  Score score;
  std::vector<TideResult> results;
  for (const CocoTask task : tasks) {
    const TideResult& result = results.emplace_back(evaluate_tide(dataset, detections, task, request.results.string()));
    score.text += tide_table(result);
    BarChart& chart = score.charts.emplace_back();
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
  if (boundary) options.boundary_ratio = request.boundary_ratio.value_or(kCityscapesBoundary);
  const CityscapesScores scores = evaluate_cityscapes(request.annotations, request.results, options);
  BarChart chart{boundary ? "Cityscapes: boundary AP" : "Cityscapes: AP", {}};
  for (size_t cls = 0; cls < kCityscapesClasses.size(); ++cls)
    chart.bars.push_back({find_cityscapes_label(kCityscapesClasses[cls])->name, scores.class_ap(cls)});
  chart.bars.push_back({"average", scores.mean_ap()});
  return {cityscapes_table(scores), cityscapes_json(scores), {chart}};
}

constexpr Metric kMetrics[] = {
    {"coco-segm", "COCO AP and AR of masks", score_coco<CocoTask::kSegm>},
    {"coco-bbox", "COCO AP and AR of boxes", score_coco<CocoTask::kBbox>},
    {"tide", "TIDE's kinds of mistakes, of masks and boxes, whichever the results have",
     [](const ScoreRequest& request) { return score_tide(request, {}); }},
    {"tide-segm", "the same of masks",
     [](const ScoreRequest& request) { return score_tide(request, {CocoTask::kSegm}); }},
    {"tide-bbox", "the same of boxes",
     [](const ScoreRequest& request) { return score_tide(request, {CocoTask::kBbox}); }},
    {"cityscapes", "Cityscapes AP of objects (folders: gtFine/val, and text files with masks)",
     score_cityscapes<false>},
    {"cityscapes-boundary", "the same with Boundary IoU", score_cityscapes<true>},
};

}  // namespace

std::span<const Metric> metrics() {
  return kMetrics;
}

Score score_results(const std::string& metric, const ScoreRequest& request) {
  std::string known;
  for (const Metric& candidate : kMetrics) {
    if (metric == candidate.name) return candidate.score(request);
    known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  }
  fail("score: there is no metric \"{}\"; {}", metric, known);
}

}  // namespace tessera
