#include "eval/score.h"

#include "eval/coco_eval.h"

namespace tessera {

namespace {

template <CocoTask task>
Score score_coco(const ScoreRequest& request) {
  const CocoDataset dataset = load_coco(request.annotations);
  const std::vector<Detection> detections = load_results(request.results);
  const CocoEvalResult result = evaluate_coco(dataset, detections, task, {.results_name = request.results.string()});
  return {coco_table(result), coco_json({&result, 1})};
}

constexpr Metric kMetrics[] = {
    {"coco-segm", "COCO AP and AR of masks", score_coco<CocoTask::kSegm>},
    {"coco-bbox", "COCO AP and AR of boxes", score_coco<CocoTask::kBbox>},
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
