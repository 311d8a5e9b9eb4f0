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

Detection to_detection(const Instance& instance, i64 image_id, const std::vector<i64>& category_ids) {
  return {.image_id = image_id,
          .category_id = category_ids.at(static_cast<size_t>(instance.class_index)),
          .score = instance.score,
          .bbox = instance.box,
          .segmentation = instance.has_mask() ? std::optional(instance.mask) : std::nullopt};
}

std::optional<Evaluation> evaluate(Segmenter& model, const std::vector<i64>& category_ids, const CocoDataset& truth,
                                   const std::shared_ptr<const SampleSource>& images, const Config& config,
                                   bool quiet) {
  const auto start = std::chrono::steady_clock::now();
  const NoGrad no_grad;
  std::vector<ApTask> tasks;
  for (const ApTask task : {ApTask::kSegm, ApTask::kBbox})
    if ((task == ApTask::kBbox || model.has_masks()) && lacking(truth, task).count == 0) tasks.push_back(task);
  TESSERA_CHECK(!tasks.empty(), "{}: {}, there is nothing to compare all of them by", truth.name,
                model.has_masks() ? "some annotations have no mask and some no box"
                                  : "the model has no masks and some annotations no box");
  for (const ApTask task : tasks) check_annotations(truth, task, true);  // before pictures are computed
  const bool training = model.training();
  model.eval();
  Loader loader(images, {.batch_size = config.evaluation.batch_size,
                         .training = false,
                         .workers = static_cast<int>(config.data.workers),
                         .prefetch = static_cast<int>(config.data.prefetch),
                         .statistics = config.input.statistics(),
                         .divisor = config.input.divisor});
  Progress progress("evaluate", 0, images->size(), is_terminal() && !quiet);
  Evaluation result;
  std::vector<Detection> boxes;  // the same objects, ranked by their boxes
  i64 done = 0;
  while (!SignalGuard::received()) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const std::vector<std::vector<Instance>> found = model.detect(*batch);
    for (size_t n = 0; n < found.size(); ++n)
      for (const Instance& instance : found[n]) {
        const Detection& detection =
            result.detections.emplace_back(to_detection(instance, batch->samples[n].image_id, category_ids));
        boxes.push_back({detection.image_id, detection.category_id, instance.box_score, instance.box, std::nullopt});
      }
    progress.update(done += batch->size());
  }
  model.train(training);
  if (SignalGuard::received()) return std::nullopt;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const ApTask task : tasks)
    result.figures.push_back(evaluate_coco(truth, task == ApTask::kBbox ? boxes : result.detections, task));
  return result;
}

std::shared_ptr<const CocoSource> inference_source(const std::shared_ptr<const CocoDataset>& dataset,
                                                   const std::filesystem::path& images, const Config& config) {
  return std::make_shared<CocoSource>(dataset, images,
                                      CocoSourceConfig{.augment = std::nullopt,
                                                       .shortest = config.input.shortest,
                                                       .longest = config.input.longest,
                                                       .targets = false});
}

}  // namespace tessera
