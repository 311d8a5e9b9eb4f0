#include "train/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "data/loader.h"
#include "eval/checks.h"
#include "train/gather_objects.h"
#include "train/pass.h"
#include "train/progress.h"
#include "train/signals.h"

namespace tessera {

Tally lacking(const CocoDataset& truth, ApTask task) {
  Tally without;
  for (const CocoAnnotation& annotation : truth.annotations) {
    if (!(task == ApTask::kBbox ? annotation.bbox.has_value() : annotation.has_mask()))
      without.add(std::to_string(annotation.id));
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

namespace {

// The losses on the whole set, as one batch would have them (train/step.cpp weighs those of an update alike).
class LossSums {
 public:
  explicit LossSums(const TrainingConfig& training) : training_(training) {}

  void add(Segmenter& model, const Batch& batch) {
    const Losses losses = model.losses(batch, {.step = 0, .epoch = 1, .seed = training_.seed});
    std::vector<double> normalisers = model.normalisers(batch), factors;
    for (const double normaliser : normalisers) factors.push_back(std::max(1.0, normaliser));
    if (normalisers.empty()) {  // sums over the pictures: as of so many as a batch of training has
      normalisers = {static_cast<double>(batch.size())};
      factors = {static_cast<double>(training_.batch_size)};
    }
    if (numbers_.empty()) {
      for (const LossTerm& term : losses.terms) terms_.emplace_back(term.name, term.normaliser);
      kinds_ = normalisers.size();
    }
    TESSERA_CHECK(losses.terms.size() == terms_.size(), "evaluation.loss: a batch has {} terms, the first has {}",
                  losses.terms.size(), terms_.size());
    std::ranges::copy(normalisers, std::back_inserter(numbers_));
    for (const LossTerm& term : losses.terms)
      numbers_.push_back(factors[term.normaliser] * term.value.value().to(DType::kF64).to_host().data<double>()[0]);
  }

  // Added up in the order of the batches, of which each rank has every size-th: the bits are those of one process. The
  // first rank's alone.
  Figures total(Communicator& communicator) const {
    const std::vector<std::string> all = communicator.gather(
        std::string_view(reinterpret_cast<const char*>(numbers_.data()), numbers_.size() * sizeof(double)));
    if (!communicator.first()) return {};
    std::vector<double> sums(kinds_ + terms_.size()), of_batch(sums.size());
    const size_t bytes = sums.size() * sizeof(double);
    std::vector<std::string_view> rest(all.begin(), all.end());
    for (size_t rank = 0; !rest[rank].empty(); rank = (rank + 1) % rest.size()) {
      std::memcpy(of_batch.data(), rest[rank].data(), bytes);
      rest[rank].remove_prefix(bytes);
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += of_batch[i];
    }
    Figures figures{{"loss", 0}};
    for (size_t i = 0; i < terms_.size(); ++i) {
      const auto& [name, normaliser] = terms_[i];
      const double value = sums[kinds_ + i] / std::max(1.0, sums[normaliser]);
      figures[0].second += value;
      add_to(figures, name, value);
    }
    return figures;
  }

 private:
  const TrainingConfig& training_;
  std::vector<std::pair<std::string, size_t>> terms_;  // names and normalisers
  size_t kinds_ = 0;                                   // of normalisers
  std::vector<double> numbers_;  // of each batch its normalisers, and its terms times what they were divided by
};

}  // namespace

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
  LossSums losses(config.training);
  i64 done = 0;
  while (!SignalGuard::received()) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const Detections found = model.detect(*batch);
    ObjectsOfBatch& objects = of_batches.emplace_back();
    for (size_t n = 0; n < found.size(); ++n)
      for (const Instance& instance : found[n])
        objects.push_back({to_detection(instance, batch->samples[n].image_id, category_ids), instance.box_score});
    if (config.evaluation.loss) losses.add(model, *batch);
    progress.update(std::min(images->size(), done += batch->size() * communicator.size()));
  }
  model.train(training);
  const double signal = SignalGuard::received();
  for (const std::vector<double>& of_rank : communicator.gather({&signal, 1}))
    if (of_rank[0] != 0) return std::nullopt;
  Evaluation result;
  if (config.evaluation.loss) result.losses = losses.total(communicator);
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
