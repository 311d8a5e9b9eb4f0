#include "eval/confusion.h"

#include <algorithm>
#include <limits>

#include "data/overlap.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "eval/checks.h"

namespace tessera {

namespace {

// What is compared: a mask made ready, or a box.
struct Area {
  Rle runs;  // what an annotation's mask refers to
  PreparedMask mask;
  XywhBox box = {};
};

class Pictures {
 public:
  Pictures(const CocoDataset& dataset, const DetectionList& detections, ApTask task, const ConfusionOptions& options)
      : dataset_(dataset), detections_(detections), masks_(task != ApTask::kBbox), options_(options) {}

  // The pairs of one picture. found: its detections, the best first.
  std::vector<FoundPair> match(i64 picture, const std::vector<size_t>& found) const {
    const std::vector<i64>& annotated = dataset_.annotations_of[static_cast<size_t>(picture)];
    std::vector<Area> truths;
    for (const i64 position : annotated) truths.push_back(annotated_area(picture, position));
    std::vector<u8> taken(annotated.size());
    std::vector<FoundPair> pairs;
    for (const size_t d : found) {
      const Area area = found_area(picture, d);
      FoundPair& pair = pairs.emplace_back(FoundPair{.detection = d});
      size_t best = annotated.size();
      for (size_t g = 0; g < annotated.size(); ++g) {
        const CocoAnnotation& truth = annotation(annotated[g]);
        const double common = overlap(area, truths[g], truth.iscrowd);
        if (common < options_.overlap) continue;
        if (truth.iscrowd)
          pair.ignored |= truth.category_id == detections_[d].category_id;
        else if (!taken[g] && common > pair.overlap)
          best = g, pair.overlap = common;
      }
      if (best == annotated.size()) continue;
      pair.annotation = annotated[best];
      pair.ignored = false;
      taken[best] = 1;
    }
    return pairs;
  }

 private:
  const CocoAnnotation& annotation(i64 position) const { return dataset_.annotations[static_cast<size_t>(position)]; }

  Area annotated_area(i64 picture, i64 position) const {
    const CocoAnnotation& truth = annotation(position);
    const CocoImage& image = dataset_.images[static_cast<size_t>(picture)];
    Area area;
    if (masks_) {
      area.runs = annotation_mask(truth, image.height, image.width);
      area.mask.assign(area.runs);
    } else {
      area.box = *truth.bbox;
    }
    return area;
  }

  Area found_area(i64 picture, size_t d) const {
    const DetectionView& detection = detections_[d];
    const CocoImage& image = dataset_.images[static_cast<size_t>(picture)];
    Area area;
    if (!masks_) {
      area.box = detection.bbox ? *detection.bbox : rle_bbox(*detection.segmentation);
    } else if (detection.segmentation) {
      area.mask.assign(*detection.segmentation);
    } else {
      area.runs = rasterise_box(*detection.bbox, image.height, image.width);
      area.mask.assign(area.runs);
    }
    return area;
  }

  double overlap(const Area& found, const Area& truth, bool crowd) const {
    return masks_ ? mask_overlap(found.mask, truth.mask, crowd, options_.overlap)
                  : box_overlap(found.box, truth.box, crowd);
  }

  const CocoDataset& dataset_;
  const DetectionList& detections_;
  bool masks_;
  ConfusionOptions options_;
};

}  // namespace

Confusion evaluate_confusion(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                             const ConfusionOptions& options) {
  check_annotations(dataset, task, false);
  const i64 pictures = std::ssize(dataset.images), K = std::ssize(dataset.categories);
  std::vector<std::vector<size_t>> found(static_cast<size_t>(pictures));
  for (size_t d = 0; d < detections.size(); ++d) {
    const i64 image = checked_image(dataset, detections, static_cast<i64>(d), task, "results");
    if (detections[d].score >= options.score && dataset.class_index.contains(detections[d].category_id))
      found[static_cast<size_t>(image)].push_back(d);
  }
  Confusion result{.classes = K,
                   .counts = std::vector<i64>(static_cast<size_t>((K + 1) * (K + 1))),
                   .pairs = std::vector<std::vector<FoundPair>>(found.size()),
                   .quality = {}};
  const Pictures matcher(dataset, detections, task, options);
  parallel_for(pictures, [&](i64 picture) {
    std::vector<size_t>& best_first = found[static_cast<size_t>(picture)];
    std::ranges::stable_sort(best_first, std::ranges::greater(), [&](size_t d) { return detections[d].score; });
    result.pairs[static_cast<size_t>(picture)] = matcher.match(picture, best_first);
  });
  const auto count = [&](i64 annotated, i64 as) { ++result.counts[static_cast<size_t>(annotated * (K + 1) + as)]; };
  std::vector<u8> on(dataset.annotations.size());
  for (size_t picture = 0; picture < found.size(); ++picture) {
    double right = 0, overlaps = 0, wrong = 0;
    for (const FoundPair& pair : result.pairs[picture]) {
      if (pair.ignored) continue;
      const i64 as = dataset.class_index.at(detections[pair.detection].category_id);
      i64 annotated = K;
      if (pair.annotation >= 0) {
        annotated = dataset.class_index.at(dataset.annotations[static_cast<size_t>(pair.annotation)].category_id);
        on[static_cast<size_t>(pair.annotation)] = 1;
      }
      count(annotated, as);
      if (annotated == as)
        ++right, overlaps += pair.overlap;
      else
        wrong += annotated == K ? 1 : 2;  // a wrong detection, and the object that was not found as what it is
    }
    for (const i64 position : dataset.annotations_of[picture]) {
      const CocoAnnotation& truth = dataset.annotations[static_cast<size_t>(position)];
      if (truth.iscrowd || on[static_cast<size_t>(position)]) continue;
      count(dataset.class_index.at(truth.category_id), K);
      ++wrong;
    }
    const double all = right + wrong / 2;
    result.quality.push_back(all > 0 ? overlaps / all : std::numeric_limits<double>::quiet_NaN());
  }
  return result;
}

}  // namespace tessera
