#include "eval/coco_eval.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/overlap.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "eval/coco_accumulate.h"

namespace tessera {

namespace {

constexpr size_t kT = kIouThresholds.size(), kA = kAreaRanges.size(), kM = kMaxDetections.size();
constexpr size_t kKept = kMaxDetections.back();  // detections per image and category

// An annotation or detection, placed: its class, and its image by ascending id.
struct Item {
  u32 cls, image;
  u32 source;  // position in the data set or in the results
};

// All that is to be compared in one image and class; [begin, end) of the sorted items.
struct Group {
  u32 cls;
  size_t truth_begin, truth_end, detection_begin, detection_end;
  size_t kept() const { return std::min(detection_end - detection_begin, kKept); }
};

class Evaluation {
 public:
  Evaluation(const CocoDataset& dataset, std::span<const Detection> detections, CocoTask task,
             const CocoEvalOptions& options)
      : dataset_(dataset), detections_(detections), task_(task), options_(options) {
    classes_ = options.class_agnostic ? 1 : dataset.categories.size();
    box_results_ = !detections.empty() && detections[0].bbox.has_value();
  }

  CocoEvalResult run() {
    TESSERA_CHECK(dataset_.image_index.size() == dataset_.images.size() &&
                      dataset_.annotations_of.size() == dataset_.images.size(),
                  "evaluate_coco: {} is not indexed, call index_coco()", dataset_.name);
    collect();
    make_groups();
    parallel_for(static_cast<i64>(groups_.size()), [&](i64 g) { match(g); });
    CocoEvalResult result;
    result.task = task_;
    result.images = static_cast<i64>(dataset_.images.size());
    result.detections = static_cast<i64>(found_.size());
    accumulate(result);
    summarise(result);
    for (const CocoAnnotation& annotation : dataset_.annotations) {
      if (annotation.id == 0)
        result.warnings.push_back(fmt::format(
            "{}: annotation id 0 means \"not matched\" in the COCO rules: whatever finds this object counts as "
            "wrong",
            dataset_.name));
    }
    return result;
  }

 private:
  // Places annotations and detections, and checks them.
  void collect() {
    std::vector<u32> order(dataset_.images.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](u32 a, u32 b) { return dataset_.images[a].id < dataset_.images[b].id; });
    std::vector<u32> image_rank(order.size());
    for (size_t rank = 0; rank < order.size(); ++rank) image_rank[order[rank]] = static_cast<u32>(rank);

    for (size_t i = 0; i < dataset_.annotations.size(); ++i) {
      const CocoAnnotation& annotation = dataset_.annotations[i];
      TESSERA_CHECK(task_ == CocoTask::kBbox || !std::holds_alternative<std::monostate>(annotation.segmentation),
                    "{}: annotation {}: it has no segmentation, masks cannot be evaluated", dataset_.name,
                    annotation.id);
      truths_.push_back({static_cast<u32>(dataset_.class_index.at(annotation.category_id)),
                         image_rank[dataset_.image_index.at(annotation.image_id)], static_cast<u32>(i)});
    }
    for (size_t i = 0; i < detections_.size(); ++i) {
      const Detection& detection = detections_[i];
      const auto image = dataset_.image_index.find(detection.image_id);
      TESSERA_CHECK(image != dataset_.image_index.end(), "{}: result {}: there is no image {} in {}",
                    options_.results_name, i, detection.image_id, dataset_.name);
      check_detection(i, dataset_.images[image->second]);
      const auto cls = dataset_.class_index.find(detection.category_id);
      if (cls != dataset_.class_index.end())
        found_.push_back({static_cast<u32>(cls->second), image_rank[image->second], static_cast<u32>(i)});
    }
  }

  void check_detection(size_t i, const CocoImage& image) const {
    const Detection& detection = detections_[i];
    auto fail_here = [&](const std::string& reason) {
      fail("{}: result {} (image {}): {}", options_.results_name, i, image.id, reason);
    };
    if (!std::isfinite(detection.score)) fail_here(fmt::format("its score is {}", detection.score));
    if (detection.bbox) {
      for (const double v : *detection.bbox)
        if (!std::isfinite(v)) fail_here("its box is not finite");
    }
    if (detection.segmentation &&
        (detection.segmentation->height != image.height || detection.segmentation->width != image.width))
      fail_here(fmt::format("its mask is {} x {} (height x width), the image {} x {}", detection.segmentation->height,
                            detection.segmentation->width, image.height, image.width));
    const bool needs_box = box_results_ && (task_ == CocoTask::kBbox || options_.areas_from_boxes);
    if (needs_box && !detection.bbox) fail_here("it has no box, though the first result has one");
    if (!detection.bbox && !detection.segmentation) fail_here("it has neither a box nor a mask");
    if (!box_results_ && !detection.segmentation) fail_here("it has no mask, though the first result has one");
  }

  // Sorts both lists by class, then image (class-agnostic: by image, then class), keeping the given order within, and
  // pairs them up.
  void make_groups() {
    auto by = [&](auto key) { return [key](const Item& a, const Item& b) { return key(a) < key(b); }; };
    auto cls = by([](const Item& item) { return item.cls; });
    auto image = by([](const Item& item) { return item.image; });
    for (std::vector<Item>* items : {&truths_, &found_}) {
      std::stable_sort(items->begin(), items->end(), image);
      std::stable_sort(items->begin(), items->end(), cls);
      if (options_.class_agnostic) {
        std::stable_sort(items->begin(), items->end(), image);
        for (Item& item : *items) item.cls = 0;
      }
    }
    auto key = [](const Item& item) { return u64{item.cls} << 32 | item.image; };
    size_t t = 0, d = 0;
    while (t < truths_.size() || d < found_.size()) {
      const u64 next =
          std::min(t < truths_.size() ? key(truths_[t]) : UINT64_MAX, d < found_.size() ? key(found_[d]) : UINT64_MAX);
      Group group{static_cast<u32>(next >> 32), t, t, d, d};
      while (t < truths_.size() && key(truths_[t]) == next) group.truth_end = ++t;
      while (d < found_.size() && key(found_[d]) == next) group.detection_end = ++d;
      groups_.push_back(group);
    }
    outcome_begin_.resize(groups_.size() + 1);
    for (size_t g = 0; g < groups_.size(); ++g) outcome_begin_[g + 1] = outcome_begin_[g] + groups_[g].kept();
    outcomes_.resize(outcome_begin_.back());
  }

  // Keeps the best detections of a group and matches them.
  void match(i64 g) {
    const Group& group = groups_[g];
    std::span<Item> items(found_.data() + group.detection_begin, group.detection_end - group.detection_begin);
    auto score = [&](const Item& item) { return detections_[item.source].score; };
    std::stable_sort(items.begin(), items.end(), [&](const Item& a, const Item& b) { return score(a) > score(b); });
    items = items.first(group.kept());

    // Masks are only made where there is something to compare them with, or where their area counts.
    std::vector<Rle> made;
    made.reserve(items.size() + group.truth_end - group.truth_begin);
    std::vector<const Rle*> masks;
    std::vector<XywhBox> boxes;
    std::vector<double> areas;
    for (const Item& item : items) {
      const Detection& detection = detections_[item.source];
      if (task_ == CocoTask::kSegm && !detection.segmentation) {
        const CocoImage& image = dataset_.images[dataset_.image_index.at(detection.image_id)];
        masks.push_back(&made.emplace_back(rasterise_box(*detection.bbox, image.height, image.width)));
      } else {
        masks.push_back(detection.segmentation ? &*detection.segmentation : nullptr);
      }
      const bool box_area = box_results_ && (task_ == CocoTask::kBbox || options_.areas_from_boxes);
      areas.push_back(box_area ? (*detection.bbox)[2] * (*detection.bbox)[3]
                               : static_cast<double>(rle_area(*masks.back())));
      if (task_ == CocoTask::kBbox) boxes.push_back(detection.bbox ? *detection.bbox : rle_bbox(*masks.back()));
    }
    std::vector<MatchTruth> truths;
    std::vector<const Rle*> truth_masks;
    std::vector<XywhBox> truth_boxes;
    std::vector<u8> crowd;
    for (size_t t = group.truth_begin; t < group.truth_end && !items.empty(); ++t) {
      const CocoAnnotation& annotation = dataset_.annotations[truths_[t].source];
      truths.push_back({annotation.id, annotation.area, annotation.iscrowd});
      crowd.push_back(annotation.iscrowd);
      truth_boxes.push_back(annotation.bbox);
      if (task_ == CocoTask::kSegm) {
        const CocoImage& image = dataset_.images[dataset_.image_index.at(annotation.image_id)];
        truth_masks.push_back(&made.emplace_back(annotation_mask(annotation, image.height, image.width)));
      }
    }
    std::vector<double> overlaps;
    if (!truths.empty()) {
      overlaps =
          task_ == CocoTask::kBbox ? box_overlaps(boxes, truth_boxes, crowd) : mask_overlaps(masks, truth_masks, crowd);
    }
    const std::vector<MatchOutcome> matches = match_detections(areas, truths, overlaps);
    for (size_t d = 0; d < items.size(); ++d)
      outcomes_[outcome_begin_[g] + d] = {score(items[d]), static_cast<u32>(d), matches[d]};
  }

  // Class by class: all images' outcomes by score, then every area range and limit.
  void accumulate(CocoEvalResult& result) {
    const size_t K = classes_;
    result.precision.assign(kT * kRecallSteps * K * kA * kM, -1);
    result.scores = result.precision;
    result.recall.assign(kT * K * kA * kM, -1);

    std::vector<size_t> begin(K + 1, 0);  // of each class in outcomes_, which are in the order of the groups
    std::vector<std::array<i64, kA>> positives(K);
    for (size_t g = 0; g < groups_.size(); ++g) {
      const Group& group = groups_[g];
      begin[group.cls + 1] = outcome_begin_[g + 1];
      for (size_t t = group.truth_begin; t < group.truth_end; ++t) {
        const CocoAnnotation& a = dataset_.annotations[truths_[t].source];
        for (size_t r = 0; r < kA; ++r)
          positives[group.cls][r] += !is_ignored({a.id, a.area, a.iscrowd}, kAreaRanges[r]);
      }
    }
    for (size_t k = 0; k < K; ++k) begin[k + 1] = std::max(begin[k + 1], begin[k]);
    auto of_class = [&](size_t k) { return std::span(outcomes_).subspan(begin[k], begin[k + 1] - begin[k]); };

    parallel_for(static_cast<i64>(K), [&](i64 k) {
      const std::span<ScoredOutcome> outcomes = of_class(k);
      std::stable_sort(outcomes.begin(), outcomes.end(),
                       [](const ScoredOutcome& a, const ScoredOutcome& b) { return a.score > b.score; });
    });
    parallel_for(static_cast<i64>(K * kA * kM), [&](i64 i) {
      const size_t m = i % kM, a = i / kM % kA, k = i / (kM * kA);
      const PrecisionCurves curves =
          precision_curves(of_class(k), a, static_cast<u32>(kMaxDetections[m]), positives[k][a]);
      const size_t stride = K * kA * kM;
      for (size_t t = 0; t < kT; ++t) {
        result.recall[t * stride + i] = curves.recall[t];
        for (size_t r = 0; r < kRecallSteps; ++r) {
          result.precision[(t * kRecallSteps + r) * stride + i] = curves.precision[t][r];
          result.scores[(t * kRecallSteps + r) * stride + i] = curves.score[t][r];
        }
      }
    });
  }

  void summarise(CocoEvalResult& result) const {
    const size_t K = classes_;
    // Thresholds [t0, t1), classes [k0, k1), in the order of the arrays.
    auto precision = [&](size_t t0, size_t t1, size_t k0, size_t k1, size_t a) {
      std::vector<double> values;
      for (size_t t = t0; t < t1; ++t)
        for (size_t r = 0; r < kRecallSteps; ++r)
          for (size_t k = k0; k < k1; ++k)
            values.push_back(result.precision[((((t * kRecallSteps) + r) * K + k) * kA + a) * kM + kM - 1]);
      return mean_of_present(values);
    };
    auto recall = [&](size_t k0, size_t k1, size_t a, size_t m) {
      std::vector<double> values;
      for (size_t t = 0; t < kT; ++t)
        for (size_t k = k0; k < k1; ++k) values.push_back(result.recall[((t * K + k) * kA + a) * kM + m]);
      return mean_of_present(values);
    };
    constexpr size_t k50 = 0, k75 = 5;  // positions of the thresholds 0.5 and 0.75
    result.stats = {precision(0, kT, 0, K, 0),
                    precision(k50, k50 + 1, 0, K, 0),
                    precision(k75, k75 + 1, 0, K, 0),
                    precision(0, kT, 0, K, 1),
                    precision(0, kT, 0, K, 2),
                    precision(0, kT, 0, K, 3),
                    recall(0, K, 0, 0),
                    recall(0, K, 0, 1),
                    recall(0, K, 0, 2),
                    recall(0, K, 1, 2),
                    recall(0, K, 2, 2),
                    recall(0, K, 3, 2)};
    for (size_t k = 0; k < K; ++k) {
      const bool named = !options_.class_agnostic;
      result.per_category.push_back({named ? dataset_.categories[k].id : -1,
                                     named ? dataset_.categories[k].name : std::string(), precision(0, kT, k, k + 1, 0),
                                     precision(k50, k50 + 1, k, k + 1, 0), precision(k75, k75 + 1, k, k + 1, 0),
                                     precision(0, kT, k, k + 1, 1), precision(0, kT, k, k + 1, 2),
                                     precision(0, kT, k, k + 1, 3), recall(k, k + 1, 0, 2)});
    }
  }

  const CocoDataset& dataset_;
  std::span<const Detection> detections_;
  CocoTask task_;
  const CocoEvalOptions& options_;
  size_t classes_;
  bool box_results_;  // the first detection has a box: it decides for all, as in the official tool
  std::vector<Item> truths_, found_;
  std::vector<Group> groups_;
  std::vector<size_t> outcome_begin_;  // per group
  std::vector<ScoredOutcome> outcomes_;
};

}  // namespace

CocoEvalResult evaluate_coco(const CocoDataset& dataset, std::span<const Detection> detections, CocoTask task,
                             const CocoEvalOptions& options) {
  return Evaluation(dataset, detections, task, options).run();
}

}  // namespace tessera
