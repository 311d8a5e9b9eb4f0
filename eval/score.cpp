#include "eval/score.h"

namespace tessera {

Score score_results(const std::filesystem::path& annotations, const std::filesystem::path& results,
                    const std::string& metric, CocoEvalOptions options) {
  TESSERA_CHECK(metric == "coco-segm" || metric == "coco-bbox",
                "score: there is no metric \"{}\"; coco-segm, coco-bbox", metric);
  const CocoDataset dataset = load_coco(annotations);
  const std::vector<Detection> detections = load_results(results);
  options.results_name = results.string();
  const CocoEvalResult result =
      evaluate_coco(dataset, detections, metric == "coco-segm" ? CocoTask::kSegm : CocoTask::kBbox, options);
  return {coco_table(result), coco_json({&result, 1}), result};
}

}  // namespace tessera
