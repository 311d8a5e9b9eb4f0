#include "train/evaluate.h"

#include <chrono>

#include "data/loader.h"
#include "eval/checks.h"
#include "train/progress.h"
#include "train/signals.h"

namespace tessera {

Tally lacking(const CocoDataset& truth, ApTask task) {
  Tally without;
  for (const CocoAnnotation& annotation : truth.annotations) {
    const bool mask = std::holds_alternative<Polygons>(annotation.segmentation) ||
                      std::holds_alternative<Rle>(annotation.segmentation);
    if (task == ApTask::kBbox ? !annotation.bbox : !mask) without.add(std::to_string(annotation.id));
  }
  return without;
}

std::optional<Evaluation> evaluate(Segmenter& model, const std::vector<i64>& category_ids, const CocoDataset& truth,
                                   const std::shared_ptr<const SampleSource>& images, const Config& config,
                                   bool quiet) {
  const auto start = std::chrono::steady_clock::now();
  const NoGrad no_grad;
  std::vector<const Metric*> told;
  const bool masks = lacking(truth, ApTask::kSegm).count == 0, boxes = lacking(truth, ApTask::kBbox).count == 0;
  for (const Metric& metric : metrics()) {
    if (!metric.belongs_to(find_metric(config.evaluation.metric))) continue;
    if (((metric.demands & Metric::kMasks) && !masks) || ((metric.demands & Metric::kBoxes) && !boxes)) continue;
    told.push_back(&metric);
    check_kind(metric, truth);  // all of this before pictures are computed
    const bool areas = metric.demands & Metric::kAreas;
    if (metric.demands & Metric::kMasks) check_annotations(truth, ApTask::kSegm, areas);
    if (metric.demands & Metric::kBoxes) check_annotations(truth, ApTask::kBbox, areas);
  }
  TESSERA_CHECK(!told.empty(),
                "{}: some annotations have no mask and some no box, there is nothing to compare all of them by",
                truth.name);
  const bool training = model.training();
  model.eval();
  Loader loader(images, loader_config(config, false));
  Progress progress("evaluate", 0, images->size(), is_terminal() && !quiet);
  Evaluation result;
  i64 done = 0;
  while (!SignalGuard::received()) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const std::vector<std::vector<Instance>> found = model.detect(*batch);
    for (size_t n = 0; n < found.size(); ++n)
      for (const Instance& instance : found[n])
        result.detections.push_back({.image_id = batch->samples[n].image_id,
                                     .category_id = category_ids.at(static_cast<size_t>(instance.class_index)),
                                     .score = instance.score,
                                     .bbox = rle_bbox(instance.mask),
                                     .segmentation = instance.mask});
    progress.update(done += batch->size());
  }
  model.train(training);
  if (SignalGuard::received()) return std::nullopt;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const DetectionList found(result.detections);
  for (const Metric* metric : told) result.scores.emplace_back(metric, score_detections(*metric, truth, found));
  return result;
}

}  // namespace tessera
