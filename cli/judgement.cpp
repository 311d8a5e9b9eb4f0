#include "cli/judgement.h"

#include <algorithm>

#include "cli/picture.h"
#include "data/image.h"
#include "train/sources.h"

namespace tessera {

namespace {

// The images at these positions with their annotations; those that cannot be decoded are named in left_out.
CocoDataset part_of(const CocoDataset& whole, std::span<const i64> positions, const std::filesystem::path& folder,
                    std::vector<std::string>& left_out) {
  CocoDataset part;
  part.name = whole.name;
  part.categories = whole.categories;
  for (const i64 position : positions) {
    const CocoImage& image = whole.images[static_cast<size_t>(position)];
    try {
      const Tensor picture = load_image(folder / image.file_name);
      check_picture_size(image.file_name, {picture.dim(0), picture.dim(1)}, whole, position);
    } catch (const Error& error) {
      left_out.push_back(fmt::format("No {}: {}", image.file_name, error.what()));
      continue;
    }
    part.images.push_back(image);
    for (const i64 a : whole.annotations_of[static_cast<size_t>(position)])
      part.annotations.push_back(whole.annotations[static_cast<size_t>(a)]);
  }
  index_coco(part);
  return part;
}

}  // namespace

std::vector<i64> spread(i64 count, i64 most) {
  const i64 chosen = most == 0 ? count : std::min(most, count);
  std::vector<i64> positions;
  for (i64 i = 0; i < chosen; ++i) positions.push_back(i * count / chosen);
  return positions;
}

Judgement judge(const LoadedModel& loaded, const CocoDataset& set, std::span<const i64> positions, double score) {
  Judgement result;
  result.folder = loaded.config.data.val_images;
  result.set = part_of(set, positions, result.folder, result.left_out);
  TESSERA_CHECK(!result.set.images.empty(), "none of {} pictures can be read; {}", positions.size(),
                result.left_out.empty() ? "" : result.left_out[0]);
  Config config = loaded.config;
  config.evaluation.loss = false;
  if (!(find_metric(config.evaluation.metric).demands & Metric::kAreas))
    config.evaluation.metric = loaded.model->has_masks() ? "segm" : "bbox";
  const auto shared = std::make_shared<const CocoDataset>(result.set);
  std::optional<Evaluation> evaluation = evaluate(*loaded.model, loaded.info.category_ids, result.set,
                                                  inference_source(shared, result.folder, config), config);
  TESSERA_CHECK(evaluation, "stopped by a signal");
  result.found = std::move(evaluation->detections);
  for (auto& [metric, of_metric] : evaluation->scores)
    if (of_metric.ap) result.averages.push_back(std::move(*of_metric.ap));
  result.task = result.averages.at(0).task == ApTask::kBbox ? ApTask::kBbox : ApTask::kSegm;
  const DetectionList found(result.found);
  result.score = score;
  result.confusion = evaluate_confusion(result.set, found, result.task, {.score = score});
  result.pairs = evaluate_confusion(result.set, found, result.task, {.score = kLeastScore});
  result.tide = evaluate_tide(result.set, found, result.task);
  return result;
}

Panel annotated_panel(const Judgement& judgement, i64 picture) {
  std::vector<PanelObject> objects = annotated_objects(judgement.set, picture);
  const std::string caption = "annotated: " + counted_objects(objects);
  return {.kind = "truth", .caption = caption, .objects = std::move(objects)};
}

Panel found_panel(const Judgement& judgement, i64 picture, const std::string& who) {
  Panel panel{.kind = "found", .caption = {}, .objects = {}};
  const std::vector<FoundPair>& pairs = judgement.pairs.pairs[static_cast<size_t>(picture)];
  for (auto pair = pairs.rbegin(); pair != pairs.rend(); ++pair) {  // the best on top
    const Detection& detection = judgement.found[pair->detection];
    const i64 class_index = judgement.set.class_index.at(detection.category_id);
    panel.objects.push_back({.name = judgement.set.categories[static_cast<size_t>(class_index)].name,
                             .class_index = class_index,
                             .object = pair->annotation,
                             .score = detection.score,
                             .mask = detection.segmentation,
                             .box = detection.bbox});
  }
  panel.caption =
      fmt::format("{}, score from {:.2f}: {}", who, judgement.score, counted_objects(panel.objects, judgement.score));
  return panel;
}

}  // namespace tessera
