#include "eval/confusion.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/rasterise.h"
#include "tensor/random.h"
#include "tests/support/check_error.h"

namespace tessera {
namespace {

// Class one at x = 10 and 50, class two at 90; a crowd of class two at 130 to 190; and an empty picture.
CocoDataset squares() {
  CocoDataset dataset;
  dataset.name = "squares";
  dataset.images = {{5, "b.png", 100, 200}, {2, "a.png", 100, 200}};
  dataset.categories = {{1, "one"}, {2, "two"}};
  const auto add = [&](i64 id, i64 category, double x, double width, bool crowd) {
    const Polygons outline = {{x, 10, x + width, 10, x + width, 30, x, 30}};
    dataset.annotations.push_back({id, 5, category, XywhBox{x, 10, width, 20}, 20 * width, crowd, outline});
  };
  add(1, 1, 10, 20, false);
  add(2, 1, 50, 20, false);
  add(3, 2, 90, 20, false);
  add(4, 2, 130, 60, true);
  index_coco(dataset);
  return dataset;
}

Detection box(i64 image, i64 category, double score, double x) {
  return {image, category, score, XywhBox{x, 10, 20, 20}, std::nullopt};
}

TEST_CASE("confusion: each detection is counted at what it is on, the best first, and the rest is background") {
  const CocoDataset dataset = squares();
  const std::vector<Detection> found = {
      box(5, 1, 0.6, 12),   // on the first, which the next one has
      box(5, 1, 0.9, 10),   // right
      box(5, 2, 0.8, 50),   // a "one" taken for a "two"
      box(5, 2, 0.7, 140),  // in the crowd of its class
      box(5, 1, 0.7, 140),  // in a crowd of another class: on nothing
      box(5, 2, 0.3, 90),   // below the score
      box(2, 2, 0.5, 90),   // where nothing is
      box(5, 3, 0.9, 90),   // of no class of the data set
  };
  for (const ApTask task : {ApTask::kBbox, ApTask::kSegm}) {
    CAPTURE(name_of(task));
    const Confusion confusion = evaluate_confusion(dataset, found, task, {.score = 0.5});
    CHECK(confusion.counts == std::vector<i64>{1, 1, 0, 0, 0, 1, 2, 1, 0});
    CHECK(confusion.count(0, 1) == 1);
    REQUIRE(confusion.pairs[0].size() == 5);
    CHECK(confusion.pairs[0][0].detection == 1);
    CHECK(confusion.pairs[0][0].annotation == 0);
    CHECK(confusion.pairs[0][0].overlap == 1);
    CHECK(confusion.pairs[0][2].ignored);
    // One is right; wrong are two objects and three detections.
    CHECK(confusion.quality[0] == doctest::Approx(1 / (1 + 0.5 * 5)));
    CHECK(confusion.quality[1] == 0);
  }
  CHECK(std::isnan(evaluate_confusion(dataset, std::vector<Detection>(), ApTask::kBbox).quality[1]));
  CHECK_ERROR(evaluate_confusion(dataset, std::vector{box(7, 1, 0.9, 10)}, ApTask::kBbox), "there is no image 7");
}

// As the header says it, over all pairs again and again.
std::vector<i64> naive(const CocoDataset& dataset, const std::vector<Detection>& found, double least, double overlap) {
  const size_t K = dataset.categories.size();
  std::vector<i64> counts((K + 1) * (K + 1));
  std::vector<bool> taken(dataset.annotations.size()), used(found.size());
  for (;;) {
    size_t best = found.size();
    for (size_t d = 0; d < found.size(); ++d)
      if (!used[d] && found[d].score >= least && (best == found.size() || found[d].score > found[best].score)) best = d;
    if (best == found.size()) break;
    used[best] = true;
    size_t on = dataset.annotations.size();
    double most = 0;
    for (size_t g = 0; g < dataset.annotations.size(); ++g) {
      const CocoAnnotation& truth = dataset.annotations[g];
      if (taken[g] || truth.image_id != found[best].image_id) continue;
      const auto [ax, ay, aw, ah] = *truth.bbox;
      const auto [bx, by, bw, bh] = *found[best].bbox;
      const double w = std::min(ax + aw, bx + bw) - std::max(ax, bx), h = std::min(ay + ah, by + bh) - std::max(ay, by);
      const double common = w > 0 && h > 0 ? w * h : 0, iou = common / (aw * ah + bw * bh - common);
      if (iou >= overlap && iou > most) on = g, most = iou;
    }
    size_t annotated = K;
    if (on < dataset.annotations.size()) {
      taken[on] = true;
      annotated = static_cast<size_t>(dataset.annotations[on].category_id);
    }
    ++counts[annotated * (K + 1) + static_cast<size_t>(found[best].category_id)];
  }
  for (size_t g = 0; g < dataset.annotations.size(); ++g)
    if (!taken[g]) ++counts[static_cast<size_t>(dataset.annotations[g].category_id) * (K + 1) + K];
  return counts;
}

TEST_CASE("confusion: random boxes are counted as the definition says, whatever score and overlap are asked for") {
  Random random(7, stream_of("confusion"));
  const auto pick = [&](i64 n) { return random.integer(0, n - 1); };
  const auto any_box = [&] {  // on a coarse grid: some are equal
    return XywhBox{static_cast<double>(8 * pick(3)), static_cast<double>(8 * pick(3)),
                   static_cast<double>(8 + 8 * pick(2)), static_cast<double>(8 + 8 * pick(2))};
  };
  for (int round = 0; round < 20; ++round) {
    CocoDataset dataset;
    dataset.categories = {{0, "a"}, {1, "b"}, {2, "c"}};
    for (i64 image = 1; image <= 3; ++image) dataset.images.push_back({image, "", 64, 64});
    for (i64 id = 1; id <= 30; ++id)
      dataset.annotations.push_back({id, 1 + pick(3), pick(3), any_box(), 1.0, false, {}});
    index_coco(dataset);
    std::vector<Detection> found;
    for (int i = 0; i < 40; ++i) {
      const CocoAnnotation& near = dataset.annotations[static_cast<size_t>(pick(30))];
      XywhBox box = *near.bbox;
      box[0] += static_cast<double>(pick(3)), box[3] += static_cast<double>(pick(3));
      found.push_back({near.image_id, pick(3), static_cast<double>(pick(10)) / 10, box, std::nullopt});
    }
    const double least = round % 2 ? 0.3 : 0, overlap = round % 3 ? 0.5 : 0.75;
    CHECK(evaluate_confusion(dataset, found, ApTask::kBbox, {.score = least, .overlap = overlap}).counts ==
          naive(dataset, found, least, overlap));
  }
}

}  // namespace
}  // namespace tessera
