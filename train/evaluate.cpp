#include "train/evaluate.h"

#include <algorithm>
#include <chrono>

#include "data/loader.h"
#include "eval/checks.h"
#include "train/gather_objects.h"
#include "train/progress.h"
#include "train/signals.h"

namespace tessera {

Tally lacking(const CocoDataset& truth, ApTask task) {
  Tally without;
  for (const CocoAnnotation& annotation : truth.annotations) {
    const bool mask = !std::holds_alternative<std::monostate>(annotation.segmentation) &&
                      !std::holds_alternative<BadMask>(annotation.segmentation);
    if (task == ApTask::kBbox ? !annotation.bbox : !mask) without.add(std::to_string(annotation.id));
  }
  return without;
}

Detection to_detection(const Instance& instance, i64 image_id, const std::vector<i64>& category_ids) {
  return {.image_id = image_id,
          .category_id = category_ids.at(static_cast<size_t>(instance.class_index)),
          .score = instance.score,
          .bbox = instance.box,
          .segmentation = instance.has_mask() ? std::optional(instance.mask) : std::nullopt};
}

void check_segments(const Segmenter& model, const Metric& metric) {
  TESSERA_CHECK(!metric.score_panoptic || model.finds_segments(),
                "{} judges segments that share no pixel, and the network finds objects whose masks may overlap: name a "
                "metric of objects, \"segm\" or \"bbox\"",
                metric.name);
}

std::optional<Evaluation> evaluate(Segmenter& model, const std::vector<i64>& category_ids, const CocoDataset& truth,
                                   const std::shared_ptr<const SampleSource>& images, const Config& config, bool quiet,
                                   Communicator& communicator) {
  const auto start = std::chrono::steady_clock::now();
  const NoGrad no_grad;
  // What is told: of the metric and of its twin for boxes or masks, as far as model and annotations have what it
  // compares.
  std::vector<const Metric*> told;
  const bool masks = lacking(truth, ApTask::kSegm).count == 0, boxed = lacking(truth, ApTask::kBbox).count == 0;
  for (const Metric& metric : metrics()) {
    if (!metric.belongs_to(find_metric(config.evaluation.metric))) continue;
    if (metric.compares_masks() && !(masks && model.has_masks())) continue;
    if ((metric.demands & Metric::kBoxes) && !boxed) continue;
    told.push_back(&metric);
    check_kind(metric, truth);  // all of this before pictures are computed
    check_segments(model, metric);
    const bool areas = metric.demands & Metric::kAreas;
    if (metric.demands & Metric::kMasks) check_annotations(truth, ApTask::kSegm, areas);
    if (metric.demands & Metric::kBoxes) check_annotations(truth, ApTask::kBbox, areas);
  }
  TESSERA_CHECK(!told.empty(), "{}: {}, there is nothing to compare all of them by", truth.name,
                model.has_masks() ? "some annotations have no mask and some no box"
                                  : "the model has no masks and some annotations no box");
  const bool training = model.training();
  model.eval();
  Loader loader(images, loader_config(config, false, model.device(), communicator));
  Progress progress("evaluate", 0, images->size(), is_terminal() && !quiet && communicator.first());
  std::vector<ObjectsOfBatch> of_batches;
  i64 done = 0;
  while (!SignalGuard::received()) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const Detections found = model.detect(*batch);
    ObjectsOfBatch& objects = of_batches.emplace_back();
    for (size_t n = 0; n < found.size(); ++n)
      for (const Instance& instance : found[n])
        objects.push_back({to_detection(instance, batch->samples[n].image_id, category_ids), instance.box_score});
    progress.update(std::min(images->size(), done += batch->size() * communicator.size()));
  }
  model.train(training);
  const double signal = SignalGuard::received();
  for (const std::vector<double>& of_rank : communicator.gather({&signal, 1}))
    if (of_rank[0] != 0) return std::nullopt;
  Evaluation result;
  std::vector<Detection> boxes;  // the same objects, ranked by their boxes
  for (ObjectsOfBatch& objects : gather_objects(std::move(of_batches), communicator))
    for (auto& [detection, box_score] : objects) {
      boxes.push_back({detection.image_id, detection.category_id, box_score, detection.bbox, std::nullopt});
      result.detections.push_back(std::move(detection));
    }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!communicator.first()) return result;
  const DetectionList found(result.detections), ranked_boxes(boxes);
  for (const Metric* metric : told) {
    result.scores.emplace_back(metric,
                               score_detections(*metric, truth, metric->compares_masks() ? found : ranked_boxes));
  }
  return result;
}

}  // namespace tessera
