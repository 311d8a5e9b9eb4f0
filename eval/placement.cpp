#include "eval/placement.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "data/parallel.h"
#include "data/rasterise.h"
#include "eval/checks.h"

namespace tessera {

namespace {

u64 key_of(u64 cls, u64 image) {
  return cls << 32 | image;
}

// Stable; keys are less than `keys`.
template <class Key>
void sort_by(std::vector<PlacedItem>& items, size_t keys, Key key) {
  std::vector<size_t> next(keys + 1, 0);  // where the next item of each key goes
  for (const PlacedItem& item : items) ++next[key(item) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<PlacedItem> sorted(items.size());
  for (const PlacedItem& item : items) sorted[next[key(item)]++] = item;
  items = std::move(sorted);
}

class Placer {
 public:
  Placer(const CocoDataset& dataset, const DetectionList& detections, ApTask task, const ApOptions& options,
         const ApRules& rules)
      : dataset_(dataset), detections_(detections), task_(task), options_(options), rules_(rules) {
    std::vector<u32> order(dataset.images.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](u32 a, u32 b) { return dataset.images[a].id < dataset.images[b].id; });
    image_rank_.resize(order.size());
    for (size_t rank = 0; rank < order.size(); ++rank) image_rank_[order[rank]] = static_cast<u32>(rank);
  }

  Placement run() {
    placement_.classes = options_.class_agnostic ? 1 : dataset_.categories.size();
    place_truths();
    place_detections();
    sort(placement_.truths);
    sort(placement_.detections);
    make_groups();
    return std::move(placement_);
  }

 private:
  void place_truths() {
    for (size_t i = 0; i < dataset_.annotations.size(); ++i) {
      const CocoAnnotation& annotation = dataset_.annotations[i];
      if (rules_.lvis && !(*annotation.area > 0)) continue;
      placement_.truths.push_back({static_cast<u32>(dataset_.class_index.at(annotation.category_id)),
                                   image_rank_[dataset_.image_index.at(annotation.image_id)], static_cast<u32>(i)});
    }
  }

  void place_detections() {
    const u32 no_class = static_cast<u32>(dataset_.categories.size());
    const i64 count = static_cast<i64>(detections_.size());
    std::vector<PlacedItem> items(detections_.size());
    std::vector<u32> image_of(detections_.size());
    constexpr int kGrain = 1024;
    parallel_for(
        count,
        [&](i64 i) {
          const i64 image = checked_image(dataset_, detections_, i, task_, options_.results_name);
          const auto cls = dataset_.class_index.find(detections_[i].category_id);
          image_of[i] = static_cast<u32>(image);
          items[i] = {cls == dataset_.class_index.end() ? no_class : static_cast<u32>(cls->second), image_rank_[image],
                      static_cast<u32>(i)};
        },
        kGrain);
    for (const PlacedItem& item : items) {
      if (item.cls != no_class) continue;
      ++placement_.strangers;
      placement_.strange_categories.insert(detections_[item.source].category_id);
    }
    size_t first = 0;
    if (rules_.lvis) first = keep_best_of_images(items);
    placement_.box_results = !detections_.empty() && detections_[first].bbox;
    placement_.areas.resize(detections_.size());
    parallel_for(
        count, [&](i64 i) { placement_.areas[i] = checked_area(i, dataset_.images[image_of[i]]); }, kGrain);
    std::erase_if(items, [&](const PlacedItem& item) {
      return item.cls == no_class || (rules_.lvis && !(placement_.areas[item.source] > 0));
    });
    placement_.detections = std::move(items);
  }

  // Returns the position of the detection that comes first when the images follow each other in order of appearance.
  size_t keep_best_of_images(std::vector<PlacedItem>& items) const {
    if (items.empty()) return 0;
    const u32 first_image = items[0].image;
    size_t first = 0;
    sort_by(items, dataset_.images.size(), [](const PlacedItem& item) { return item.image; });
    const auto score = [&](const PlacedItem& item) { return detections_[item.source].score; };
    std::vector<PlacedItem> kept;
    kept.reserve(items.size());
    for (auto begin = items.begin(), end = begin; begin != items.end(); begin = end) {
      end = std::find_if(begin, items.end(), [&](const PlacedItem& item) { return item.image != begin->image; });
      size_t count = static_cast<size_t>(end - begin);
      if (count > rules_.limits.back()) {
        std::stable_sort(begin, end, [&](const PlacedItem& a, const PlacedItem& b) { return score(a) > score(b); });
        count = rules_.limits.back();
      }
      if (begin->image == first_image) first = begin->source;
      kept.insert(kept.end(), begin, begin + static_cast<std::ptrdiff_t>(count));
    }
    items = std::move(kept);
    return first;
  }

  [[noreturn]] void fail_at(i64 i, const std::string& reason) const {
    fail("{}: result {} (image {}): {}", options_.results_name, i, detections_[i].image_id, reason);
  }

  // The area that decides whether a detection is small, medium or large.
  double checked_area(i64 i, const CocoImage& image) const {
    const auto& [box, mask] = std::tie(detections_[i].bbox, detections_[i].segmentation);
    const bool by_box = placement_.box_results && (task_ == ApTask::kBbox || options_.areas_from_boxes);
    if (by_box && !box) fail_at(i, "it has no box, though the first result has one");
    if (!placement_.box_results && !mask) fail_at(i, "it has no mask, though the first result has one");
    if (by_box && !is_finite(*box)) fail_at(i, kBoxExpected);
    if (by_box) return (*box)[2] * (*box)[3];
    if (mask) return static_cast<double>(rle_area(*mask));
    try {
      return static_cast<double>(rle_area(rasterise_box(*box, image.height, image.width)));
    } catch (const Error& error) {
      fail_at(i, error.what());
    }
  }

  // By class, then image; class-agnostic: by image, then class, and then all are of one class.
  void sort(std::vector<PlacedItem>& items) const {
    const auto image = [](const PlacedItem& item) { return item.image; };
    const auto cls = [](const PlacedItem& item) { return item.cls; };
    if (!options_.class_agnostic) sort_by(items, dataset_.images.size(), image);
    sort_by(items, dataset_.categories.size(), cls);
    if (!options_.class_agnostic) return;
    sort_by(items, dataset_.images.size(), image);
    for (PlacedItem& item : items) item.cls = 0;
  }

  // The pairs of class and image that one of the images' lists names, sorted.
  template <class List>
  std::vector<u64> listed(List list) const {
    std::vector<u64> keys;
    for (size_t i = 0; rules_.lvis && i < dataset_.images.size(); ++i) {
      for (const i64 id : list(dataset_.images[i])) {
        const auto cls = dataset_.class_index.find(id);
        if (cls != dataset_.class_index.end()) keys.push_back(key_of(static_cast<u64>(cls->second), image_rank_[i]));
      }
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }

  void make_groups() {
    const std::vector<PlacedItem>&truths = placement_.truths, &found = placement_.detections;
    const std::vector<u64> absent = listed([](const CocoImage& image) -> const std::vector<i64>& {
      static const std::vector<i64> none;
      return image.neg_category_ids ? *image.neg_category_ids : none;
    });
    const std::vector<u64> incomplete =
        listed([](const CocoImage& image) -> const std::vector<i64>& { return image.not_exhaustive_category_ids; });
    const auto is_in = [](const std::vector<u64>& keys, u64 key) {
      return std::binary_search(keys.begin(), keys.end(), key);
    };
    const auto key = [](const PlacedItem& item) { return key_of(item.cls, item.image); };
    size_t t = 0, d = 0;
    while (t < truths.size() || d < found.size()) {
      const u64 next =
          std::min(t < truths.size() ? key(truths[t]) : UINT64_MAX, d < found.size() ? key(found[d]) : UINT64_MAX);
      Group group{static_cast<u32>(next >> 32), static_cast<u32>(next), t, t, d, d, is_in(incomplete, next)};
      while (t < truths.size() && key(truths[t]) == next) group.truth_end = ++t;
      while (d < found.size() && key(found[d]) == next) group.detection_end = ++d;
      const bool has_truths = group.truth_end > group.truth_begin;
      if (rules_.federated && !has_truths && !is_in(absent, next)) continue;
      placement_.groups.push_back(group);
    }
  }

  const CocoDataset& dataset_;
  const DetectionList& detections_;
  ApTask task_;
  const ApOptions& options_;
  const ApRules& rules_;
  std::vector<u32> image_rank_;  // by position
  Placement placement_;
};

}  // namespace

Placement place(const CocoDataset& dataset, const DetectionList& detections, ApTask task, const ApOptions& options,
                const ApRules& rules) {
  return Placer(dataset, detections, task, options, rules).run();
}

}  // namespace tessera
