#include "train/evaluate.h"

#include <doctest/doctest.h>

#include "data/panoptic.h"
#include "data/shapes.h"
#include "tensor/file.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/threads_communicator.h"

using namespace tessera;

namespace {

// Knows every object of a data set, and finds it with a score that falls with its place.
class Oracle : public Segmenter {
 public:
  explicit Oracle(const CocoDataset& truth) : truth_(truth) {}
  void visit(nn::Visitor&) override {}
  // Of what the batch holds: a mean over the objects, which has them as its normaliser, or a sum over the pictures.
  Losses losses(const Batch& batch, const StepContext& context) override {
    CHECK(!training());
    CHECK(NoGrad::active());
    CHECK(context.epoch == 1);
    double objects = 0, pixels = 0;
    for (const Sample& sample : batch.samples) {
      objects += static_cast<double>(sample.targets.count());
      for (const u8 pixel : sample.targets.masks.span<u8>()) pixels += pixel;
    }
    const auto scalar = [](double value) { return Var(Tensor::full({1}, value, DType::kF64)); };
    if (sums) return {{{"loss_pixels", scalar(pixels)}}};
    return {{{"loss_pixels", scalar(pixels / std::max(1.0, objects))}, {"loss_one", scalar(1)}}};
  }
  std::vector<double> normalisers(const Batch& batch) const override {
    return sums ? std::vector<double>() : std::vector{static_cast<double>(batch.objects())};
  }
  bool finds_segments() const override { return segments; }
  Detections detect(const Batch& batch) override {
    CHECK(!training());
    CHECK(NoGrad::active());
    Detections found;
    for (const Sample& sample : batch.samples) {
      found.emplace_back();
      for (const i64 i : truth_.annotations_of[static_cast<size_t>(truth_.image_index.at(sample.image_id))]) {
        const CocoAnnotation& annotation = truth_.annotations[static_cast<size_t>(i)];
        const i64 class_index = (truth_.class_index.at(annotation.category_id) + shift) % 3;
        found.back().push_back(Instance::of_mask(
            class_index, 0.9, annotation_mask(annotation, sample.original.height, sample.original.width)));
        if (!mistaken_boxes) continue;
        Instance wrong = Instance::of_mask(class_index, 0.1, found.back().back().mask);
        wrong.box = {0, 0, 1, 1};
        wrong.box_score = 0.95;
        found.back().push_back(wrong);
      }
    }
    return found;
  }
  i64 shift = 0;
  bool segments = true;         // whether it says that its masks share no pixel
  bool sums = false;            // losses of which no batch has a normaliser
  bool mistaken_boxes = false;  // beside each object a second one, whose box is wrong and surer

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

TEST_CASE("evaluate: masks are ranked by the scores of objects, boxes by scores of their own") {
  const test::TemporaryFolder folder;
  generate_shapes({.dir = folder.path(), .train = 1, .val = 5, .size = 64});
  const auto truth = std::make_shared<const CocoDataset>(load_coco(folder / "instances_val.json"));
  const Config config;
  Oracle oracle(*truth);
  oracle.mistaken_boxes = true;
  const std::optional<Evaluation> result =
      evaluate(oracle, {1, 2, 3}, *truth, inference_source(truth, folder / "val", config), config, true);
  REQUIRE(result);
  CHECK(result->scores.at(0).second.figures[0].second == doctest::Approx(1));  // the second of each object comes last
  CHECK(result->scores.at(1).second.figures[0].second < 0.9);                  // ... first
}

TEST_CASE(
    "evaluate: any metric of score judges what a model finds, with the one that tells of the other kind of place") {
  const test::TemporaryFolder folder;
  generate_shapes({.dir = folder.path(), .train = 1, .val = 3, .size = 64});
  const auto truth = load_data_set((folder / "instances_val.json").string(), "data.val_annotations");
  Oracle oracle(*truth);
  const auto told = [&](const std::string& metric) {
    Config config;
    config.input.shortest = config.input.longest = 64;
    config.evaluation.metric = metric;
    std::string names;
    const auto source = inference_source(truth, folder / "val", config);
    const std::optional<Evaluation> result = evaluate(oracle, {1, 2, 3}, *truth, source, config, true);
    for (const auto& [known, score] : result->scores) {
      names += known->short_name() + " ";
      REQUIRE(score.figures.size() > 2);
      CHECK(score.figures[0].second == doctest::Approx(metric.starts_with("tide") ? 100 : 1));
      CHECK(score.text.size() > 20);
    }
    return names;
  };
  CHECK(told("bbox") == "segm bbox ");
  CHECK(told("coco-segm") == "segm bbox ");
  CHECK(told("boundary-segm") == "boundary-segm ");
  CHECK(told("tide-bbox") == "tide-segm tide-bbox ");
  CHECK(told("tide") == "tide ");
  CHECK_ERROR(told("lvis-segm"), "says of no category how frequent it is, as LVIS does and the metric lvis-segm needs");
  CHECK_ERROR(told("cityscapes"), "instances_val.json is no folder of Cityscapes, which the metric cityscapes needs");
}

TEST_CASE("evaluate: a folder of Cityscapes is a data set, judged by its own metric as result files are") {
  const test::TemporaryFolder folder;
  constexpr i64 kSide = 40;
  std::vector<u8> samples;
  for (i64 i = 0; i < kSide * kSide; ++i) {
    const bool car = i / kSide < 20 && i % kSide < 20, cars = i / kSide >= 30;
    const i64 value = car ? 26001 : cars ? 26 : 7;
    samples.push_back(static_cast<u8>(value >> 8));
    samples.push_back(static_cast<u8>(value & 255));
  }
  std::filesystem::create_directories(folder / "gtFine/val/town");
  std::filesystem::create_directories(folder / "leftImg8bit/val/town");
  write_file(folder / "gtFine/val/town/town_000000_000019_gtFine_instanceIds.png",
             test::png_bytes(kSide, kSide, 0, 16, samples));
  save_png(folder / "leftImg8bit/val/town/town_000000_000019_leftImg8bit.png",
           Tensor::zeros({kSide, kSide, 3}, DType::kU8));
  const auto truth = load_data_set((folder / "gtFine/val").string(), "data.val_annotations");
  Config config;
  config.input.shortest = config.input.longest = kSide;
  config.evaluation.metric = "cityscapes";
  Oracle oracle(*truth);  // finds the group as well, which is neither right nor wrong
  const auto source = inference_source(truth, folder / "leftImg8bit/val", config);
  const std::vector<i64> ids = {24, 25, 26, 27, 28, 31, 32, 33};
  const std::optional<Evaluation> result = evaluate(oracle, ids, *truth, source, config, true);
  REQUIRE(result->scores.size() == 1);
  CHECK(result->detections.size() == 2);
  CHECK(result->scores[0].second.figures[0] == std::pair<std::string, double>("AP", 1));
  oracle.shift = 1;  // everything is a person
  CHECK(evaluate(oracle, ids, *truth, source, config, true)->scores[0].second.figures[0].second == 0);
}

TEST_CASE(
    "evaluate: a panoptic file is a data set, and panoptic quality a metric of models whose masks share no pixel") {
  const test::TemporaryFolder folder;
  const Rle thing{4, 6, {0, 8, 16}}, stuff{4, 6, {12, 12}};
  PanopticFile file{.name = (folder / "set.json").string(), .folder = folder / "set"};
  file.images = {{.id = 1, .file_name = "a.jpg", .height = 4, .width = 6}};
  file.categories = {{.id = 1, .name = "grass", .isthing = false}, {.id = 2, .name = "dog"}};
  file.pictures = {{.image_id = 1,
                    .png = "a.png",
                    .segments = {{.id = 1, .category_id = 2, .area = 8, .bbox = XywhBox{0, 0, 2, 4}},
                                 {.id = 2, .category_id = 1, .area = 12, .bbox = XywhBox{3, 0, 3, 4}}}}};
  std::filesystem::create_directory(file.folder);
  save_panoptic(file);
  save_segments(file.folder / "a.png", {4, 6}, std::vector{thing, stuff});
  write_file(folder / "a.jpg", test::jpeg_bytes(Tensor::zeros({4, 6, 3}, DType::kU8)));
  Config config;
  config.data.train_annotations = file.name;
  config.data.train_images = folder.path().string();
  config.evaluation.metric = "panoptic";
  CHECK(training_source(config)->objects(0) == 2);

  const std::shared_ptr<const CocoDataset> truth = load_data_set(file.name, "data.val_annotations");
  const auto source = inference_source(truth, folder.path(), config);
  Oracle oracle(*truth);
  const std::vector<i64> category_ids = {2, 1, 3};  // things first
  const auto found = evaluate(oracle, category_ids, *truth, source, config, true);
  REQUIRE(found->scores.size() == 1);
  CHECK(found->scores[0].second.figures[0] == std::pair(std::string("PQ"), 1.0));
  oracle.segments = false;
  CHECK_ERROR(evaluate(oracle, category_ids, *truth, source, config, true), "whose masks may overlap");
  oracle.segments = true;
  config.evaluation.metric = "segm";  // the same objects as instances
  CHECK(evaluate(oracle, category_ids, *truth, source, config, true)->scores[0].second.figures[0].second ==
        doctest::Approx(1));
  oracle.mistaken_boxes = true;  // every mask twice
  config.evaluation.metric = "panoptic";
  CHECK_ERROR(evaluate(oracle, category_ids, *truth, source, config, true),
              "image 1 (a.png): the masks found in it share");
}

TEST_CASE(
    "evaluate: the losses are those of the whole set as one batch, by any number of processes in batches of any size") {
  const test::TemporaryFolder folder;
  generate_shapes({.dir = folder.path(), .train = 1, .val = 7, .size = 64});
  const auto truth = std::make_shared<const CocoDataset>(load_coco(folder / "instances_val.json"));
  Config config;
  config.input.shortest = config.input.longest = 64;
  config.training.batch_size = 4;
  Oracle oracle(*truth);
  const auto losses = [&](i64 batch_size, Communicator& communicator) {
    Config own = config;
    own.evaluation.batch_size = batch_size;
    const auto source = inference_source(truth, folder / "val", own);
    Oracle of_rank(*truth);
    of_rank.sums = oracle.sums;
    return evaluate(of_rank, {1, 2, 3}, *truth, source, own, true, communicator)->losses;
  };
  CHECK(losses(1, single_process()).empty());
  config.evaluation.loss = true;
  double pixels = 0;
  const auto whole = inference_source(truth, folder / "val", config);
  for (i64 i = 0; i < whole->size(); ++i)
    for (const u8 pixel : whole->load(0, i).targets.masks.span<u8>()) pixels += pixel;
  const double objects = static_cast<double>(truth->annotations.size());
  for (const bool sums : {false, true}) {
    oracle.sums = sums;
    for (const i64 batch_size : {1, 3, 7}) {
      const Figures figures = losses(batch_size, single_process());
      REQUIRE(figures.size() == (sums ? 2 : 3));
      CHECK(figures[0].first == "loss");
      CHECK(figures[1].second == doctest::Approx(sums ? pixels * 4 / 7 : pixels / objects));
      CHECK(figures[0].second == doctest::Approx(figures[1].second + (sums ? 0 : 1)));
      std::array<Figures, 3> of_ranks;
      const auto errors = test::on_ranks(3, [&](Communicator& communicator) {
        of_ranks[static_cast<size_t>(communicator.rank())] = losses(batch_size, communicator);
      });
      for (const std::string& error : errors) CHECK(error == "");
      CHECK(of_ranks[0] == figures);  // to the last bit
      CHECK(of_ranks[1].empty());
    }
  }
}
