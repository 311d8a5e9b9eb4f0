#include "eval/tide.h"

#include <algorithm>
#include <map>
#include <optional>

#include "data/lvis.h"
#include "data/overlap.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "eval/checks.h"
#include "eval/tide_match.h"

namespace tessera {

namespace {

constexpr size_t kKept = 100, kKeptLvis = 300;  // detections per image

// One image: positions of its detections, best first, and of its annotations, crowd regions last; and how they fit.
struct Image {
  std::vector<i64> found, truths;
  TideOutcome outcome;
  // Per annotation that was not found, but that Cls or Loc mistakes are on: which of outcome.mistakes would find it. It
  // is the one with the highest score, of equals the first. -1 for the others.
  std::vector<i64> winners;
};

// What the AP of a class is made of.
struct Point {
  double score;
  bool right;
};
struct ClassPoints {
  std::vector<Point> points;
  i64 positives = 0;  // objects to find
};
using Classes = std::map<i64, ClassPoints>;  // by category id

// Area under the precision-recall curve, made non-increasing and sampled at the recalls 0, 1/100, ..., 1; in points.
double average_precision(ClassPoints cls) {
  if (cls.positives == 0) return 0;
  std::stable_sort(cls.points.begin(), cls.points.end(),
                   [](const Point& a, const Point& b) { return a.score > b.score; });
  std::vector<double> precision;  // where a right detection raises the recall; between them it can only fall
  for (size_t i = 0; i < cls.points.size(); ++i) {
    if (cls.points[i].right)
      precision.push_back(static_cast<double>(precision.size() + 1) / static_cast<double>(i + 1));
  }
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  double sum = 0;
  size_t i = 0;
  for (int step = 0; step <= 100; ++step) {
    while (i < precision.size() && static_cast<double>(i + 1) / static_cast<double>(cls.positives) < step / 100.0) ++i;
    if (i < precision.size()) sum += precision[i];
  }
  return sum / 101 * 100;
}

// Over the classes that have an object or a detection.
double mean_ap(const Classes& classes) {
  std::vector<const ClassPoints*> present;
  for (const auto& [category, cls] : classes)
    if (cls.positives > 0 || !cls.points.empty()) present.push_back(&cls);
  std::vector<double> ap(present.size());
  parallel_for(static_cast<i64>(ap.size()), [&](i64 i) { ap[i] = average_precision(*present[i]); });
  double sum = 0;
  for (const double value : ap) sum += value;
  return ap.empty() ? 0 : sum / static_cast<double>(ap.size());
}

class Analysis {
 public:
  Analysis(const CocoDataset& dataset, const DetectionList& detections, ApTask task, const std::string& results_name)
      : dataset_(dataset), lvis_(is_lvis(dataset)), detections_(detections), task_(task), results_name_(results_name) {}

  TideResult run() {
    collect();
    parallel_for(static_cast<i64>(images_.size()), [&](i64 image) { look_at(image); });

    TideResult result;
    result.task = task_;
    result.images = static_cast<i64>(images_.size());
    result.detections = static_cast<i64>(detections_.size());
    for (size_t t = 0; t < kTideThresholds; ++t) {
      result.ap_per_threshold[t] = mean_ap(as_found(t));
      result.ap += result.ap_per_threshold[t] / kTideThresholds;
    }
    for (size_t kind = 0; kind < kTideErrors; ++kind)
      result.dap[kind] = std::max(0.0, mean_ap(mended(static_cast<TideError>(kind))) - result.ap50());
    for (const Image& image : images_)
      for (const TideMistake& mistake : image.outcome.mistakes)
        result.errors[static_cast<size_t>(mistake.kind)].push_back(
            (mistake.kind == TideError::kMiss ? image.truths : image.found)[mistake.item]);

    Classes nothing_wrong = mended(std::nullopt), nothing_missed = nothing_wrong;
    for (auto& [category, cls] : nothing_wrong)
      for (Point& point : cls.points) point.score = point.right ? 1 : 0;
    for (auto& [category, cls] : nothing_missed) cls.positives = std::ranges::count(cls.points, true, &Point::right);
    result.dap_false_pos = mean_ap(nothing_wrong) - result.ap50();
    result.dap_false_neg = mean_ap(nothing_missed) - result.ap50();
    return result;
  }

 private:
  void collect() {
    check_annotations(dataset_, task_, false);
    for (const CocoAnnotation& annotation : dataset_.annotations)
      if (!annotation.iscrowd) ++positives_[annotation.category_id].positives;
    images_.resize(dataset_.images.size());
    for (i64 i = 0; i < static_cast<i64>(detections_.size()); ++i)
      images_[checked_image(dataset_, detections_, i, task_, results_name_)].found.push_back(i);
  }

  // Overlaps of detections (rows) and annotations.
  std::vector<double> compare(const CocoImage& image, std::span<const i64> found, std::span<const i64> truths) const {
    std::vector<u8> crowd;
    for (const i64 g : truths) crowd.push_back(dataset_.annotations[g].iscrowd);
    if (task_ == ApTask::kBbox) {
      std::vector<XywhBox> boxes, truth_boxes;
      for (const i64 d : found)
        boxes.push_back(detections_[d].bbox ? *detections_[d].bbox : rle_bbox(*detections_[d].segmentation));
      for (const i64 g : truths) truth_boxes.push_back(*dataset_.annotations[g].bbox);
      return box_overlaps(boxes, truth_boxes, crowd);
    }
    std::vector<Rle> made;
    made.reserve(found.size() + truths.size());
    std::vector<RleView> masks, truth_masks;
    for (const i64 d : found) {
      const DetectionView& detection = detections_[d];
      masks.push_back(detection.segmentation
                          ? *detection.segmentation
                          : made.emplace_back(rasterise_box(*detection.bbox, image.height, image.width)));
    }
    for (const i64 g : truths)
      truth_masks.push_back(made.emplace_back(annotation_mask(dataset_.annotations[g], image.height, image.width)));
    return mask_overlaps(masks, truth_masks, crowd);
  }

  // By the rules of LVIS nothing of a category is wrong in an image where not all of that category is marked.
  static std::vector<u8> excused_by_lvis(const CocoImage& image, const TideScene& scene) {
    const auto is_in = [](const std::vector<i64>& list, i64 category) {
      return std::ranges::find(list, category) != list.end();
    };
    std::vector<u8> excused;
    for (const i64 category : scene.found) {
      const bool looked_for =
          is_in(scene.truths, category) || (image.neg_category_ids && is_in(*image.neg_category_ids, category));
      excused.push_back(!looked_for || is_in(image.not_exhaustive_category_ids, category));
    }
    return excused;
  }

  void look_at(i64 position) {
    auto& [found, truths, outcome, winners] = images_[position];
    std::ranges::stable_sort(found, std::greater{}, [&](i64 d) { return detections_[d].score; });
    found.resize(std::min(found.size(), lvis_ ? kKeptLvis : kKept));
    truths = dataset_.annotations_of[position];
    const auto crowds = std::ranges::stable_partition(truths, [&](i64 g) { return !dataset_.annotations[g].iscrowd; });

    TideScene scene;
    for (const i64 d : found) scene.found.push_back(detections_[d].category_id);
    for (const i64 g : truths) scene.truths.push_back(dataset_.annotations[g].category_id);
    scene.regular = truths.size() - crowds.size();
    scene.overlaps = compare(dataset_.images[position], found, truths);
    if (lvis_) scene.excused = excused_by_lvis(dataset_.images[position], scene);
    outcome = judge_tide(scene);

    winners.assign(truths.size(), -1);
    const auto score = [&](i64 mistake) { return detections_[found[outcome.mistakes[mistake].item]].score; };
    for (size_t i = 0; i < outcome.mistakes.size(); ++i) {
      const i64 partner = outcome.mistakes[i].partner, mistake = static_cast<i64>(i);
      if (partner < 0 || outcome.used[partner]) continue;
      i64& winner = winners[partner];
      if (winner < 0 || score(mistake) > score(winner)) winner = mistake;
    }
  }

  Classes as_found(size_t t) const {
    Classes classes = positives_;
    for (const Image& image : images_) {
      for (size_t d = 0; d < image.found.size(); ++d) {
        const TideVerdict verdict = image.outcome.verdicts[d][t];
        if (verdict != TideVerdict::kIgnored) add(classes, image.found[d], verdict == TideVerdict::kRight);
      }
    }
    return classes;
  }

  // With the mistakes of one kind mended, or none: a miss is no object to find, a Cls or Loc mistake that would find
  // its object does so, everything else is gone. For points of equal score the order of listing counts: mistakes first.
  Classes mended(std::optional<TideError> kind) const {
    Classes classes = positives_;
    for (const Image& image : images_) {
      const std::vector<TideMistake>& mistakes = image.outcome.mistakes;
      for (size_t i = 0; i < mistakes.size(); ++i) {
        const TideMistake& mistake = mistakes[i];
        if (mistake.kind != kind) {
          if (mistake.counted) add(classes, image.found[mistake.item], false);
        } else if (kind == TideError::kMiss) {
          --classes[dataset_.annotations[image.truths[mistake.item]].category_id].positives;
        } else if (mistake.partner >= 0 && image.winners[mistake.partner] == static_cast<i64>(i)) {
          const i64 category = dataset_.annotations[image.truths[mistake.partner]].category_id;
          classes[category].points.push_back({detections_[image.found[mistake.item]].score, true});
        }
      }
    }
    for (const Image& image : images_)
      for (size_t d = 0; d < image.found.size(); ++d)
        if (image.outcome.verdicts[d][0] == TideVerdict::kRight) add(classes, image.found[d], true);
    return classes;
  }

  void add(Classes& classes, i64 detection, bool right) const {
    classes[detections_[detection].category_id].points.push_back({detections_[detection].score, right});
  }

  const CocoDataset& dataset_;
  bool lvis_;
  const DetectionList& detections_;
  ApTask task_;
  const std::string& results_name_;
  Classes positives_;  // no points yet
  std::vector<Image> images_;
};

}  // namespace

TideResult evaluate_tide(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                         const std::string& results_name) {
  return Analysis(dataset, detections, task, results_name).run();
}

}  // namespace tessera
