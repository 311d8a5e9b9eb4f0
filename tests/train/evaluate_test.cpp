#include "train/evaluate.h"

#include <doctest/doctest.h>

#include "data/shapes.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

namespace {

// Knows every object of a data set, and finds it with a score that falls with its place.
class Oracle : public Segmenter {
 public:
  explicit Oracle(const CocoDataset& truth) : truth_(truth) {}
  void visit(nn::Visitor&) override {}
  Losses losses(const Batch&) override { return {}; }
  std::vector<std::vector<Instance>> detect(const Batch& batch) override {
    CHECK(!training());
    CHECK(NoGrad::active());
    std::vector<std::vector<Instance>> found;
    for (const Sample& sample : batch.samples) {
      found.emplace_back();
      for (const i64 i : truth_.annotations_of[static_cast<size_t>(truth_.image_index.at(sample.image_id))]) {
        const CocoAnnotation& annotation = truth_.annotations[static_cast<size_t>(i)];
        const i64 class_index = (truth_.class_index.at(annotation.category_id) + shift) % 3;
        found.back().push_back(
            {class_index, 0.9, annotation_mask(annotation, sample.original.height, sample.original.width)});
      }
    }
    return found;
  }
  i64 shift = 0;

 private:
  const CocoDataset& truth_;
};

}  // namespace

TEST_CASE("evaluate: who finds everything has AP 1 for masks and boxes, with batches of any size; who errs has 0") {
  const test::TemporaryFolder folder;
  generate_shapes({.dir = folder.path(), .train = 1, .val = 5, .size = 64});
  const auto truth = std::make_shared<const CocoDataset>(load_coco(folder / "instances_val.json"));
  Config config;
  config.input.shortest = 32;
  config.input.longest = 64;
  config.evaluation.batch_size = 2;
  const auto source = inference_source(truth, folder / "val", config);
  Oracle oracle(*truth);
  const std::optional<Evaluation> right = evaluate(oracle, {1, 2, 3}, *truth, source, config, true);
  REQUIRE(right);
  REQUIRE(right->scores.size() == 2);
  for (const auto& [metric, score] : right->scores) CHECK(score.ap->stats[0] == doctest::Approx(1));
  CHECK(right->detections.size() == truth->annotations.size());
  CHECK(oracle.training());  // left as it was
  oracle.shift = 1;
  CHECK(evaluate(oracle, {1, 2, 3}, *truth, source, config, true)->scores[0].second.ap->stats[0] ==
        doctest::Approx(0).epsilon(1e-9));
}
