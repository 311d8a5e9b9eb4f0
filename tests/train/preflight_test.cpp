#include "train/preflight.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy.h"
#include "train/evaluate.h"

namespace tessera {
namespace {

using test::TemporaryFolder;

constexpr i64 kSide = 24;

CocoAnnotation square(i64 id, i64 image) {
  CocoAnnotation annotation;
  annotation.id = id;
  annotation.image_id = image;
  annotation.category_id = 1;
  annotation.bbox = XywhBox{2, 2, 10, 10};
  annotation.area = 100;
  annotation.segmentation = Polygons{{2, 2, 12, 2, 12, 12, 2, 12}};
  return annotation;
}

// Pictures 0.png, 1.png, ... with one square each.
std::shared_ptr<CocoDataset> write_set(const std::filesystem::path& folder, const std::string& name, i64 pictures) {
  auto dataset = std::make_shared<CocoDataset>();
  dataset->name = name;
  dataset->categories = {{1, "bolt"}, {2, "nut"}};
  for (i64 i = 0; i < pictures; ++i) {
    dataset->images.push_back({i, std::to_string(i) + ".png", kSide, kSide});
    save_png(folder / dataset->images.back().file_name, Tensor::zeros({kSide, kSide, 3}, DType::kU8));
    dataset->annotations.push_back(square(100 + i, i));
  }
  index_coco(*dataset);
  return dataset;
}

struct Limited : test::Toy {
  std::optional<Limit> limit;
  std::optional<Limit> object_limit() const override { return limit; }
};

struct Sets {
  Limited model;
  TemporaryFolder folder;
  std::shared_ptr<CocoDataset> train = write_set(folder.path(), "train.json", 4);
  std::shared_ptr<CocoDataset> val = write_set(folder.path(), "val.json", 5);
  Config config;

  Sets() {  // a run that is long enough
    config.schedule.milestones = {3};
    config.schedule.warmup_steps = 1;
    config.training.steps = 4;
    config.training.checkpoint_every = 2;
    config.evaluation.every = 4;
  }
  CocoSource train_source() const { return {train, folder.path(), CocoSourceConfig{}}; }
  void check() {
    index_coco(*val);
    check_data(config, train_source(), inference_source(val, folder.path(), config).get());
  }
  std::vector<std::string> warned() {
    index_coco(*train);
    index_coco(*val);
    return warnings(model, config, train_source(), inference_source(val, folder.path(), config).get());
  }
};

bool contains(const std::vector<std::string>& lines, const std::string& part) {
  return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

TEST_CASE("preflight: sets that are as they should be pass without a word") {
  Sets sets;
  sets.check();
  CHECK(sets.warned().empty());
}

TEST_CASE("preflight: pictures that are absent, damaged or of another size are counted and named, in one error") {
  Sets sets;
  for (const char* name : {"1.png", "2.png", "3.png", "4.png"}) std::filesystem::remove(sets.folder / name);
  save_png(sets.folder / "4.png", Tensor::zeros({7, 9, 3}, DType::kU8));
  write_file(sets.folder / "0.png", "no picture");
  const std::string in = " in data.val_images = \"" + sets.folder.path().string() + "\"";
  for (const std::string& part :
       {std::string("before the first step: 3 of the 4 pictures of train.json do not exist in data.train_images"),
        "3 of the 5 pictures of val.json do not exist" + in + " (1.png, 2.png, 3.png): ",
        "1 of the 5 pictures of val.json cannot be read" + in + " (" + (sets.folder / "0.png").string() +
            ": is neither",
        "1 of the 5 pictures of val.json have another size" + in +
            " (4.png is 7 x 9 (height x width), annotated 24 x 24): "})
    CHECK_ERROR(sets.check(), part);
  CHECK_ERROR(check_pictures(sets.train_source(), "--images"), "do not exist in --images = ");
}

TEST_CASE("preflight: a picture that is left out for having no object need not exist") {
  Sets sets;
  sets.train->annotations.pop_back();
  index_coco(*sets.train);
  sets.val.reset();
  std::filesystem::remove(sets.folder / "3.png");
  check_data(sets.config, {sets.train, sets.folder.path(), {.skip_empty = true}}, nullptr);
  CHECK_ERROR(check_data(sets.config, sets.train_source(), nullptr), "1 of the 4 pictures of train.json do not exist");
}

TEST_CASE("preflight: the validation set has annotations, the training set's categories and what the metric compares") {
  SUBCASE("categories") {
    Sets sets;
    sets.val->categories = {{1, "nut"}, {2, "nut"}, {7, "washer"}};
    CHECK_ERROR(sets.check(),
                "2 of the 3 categories of val.json are not those of train.json (1 \"nut\", there \"bolt\", "
                "7 \"washer\"): ");
  }
  SUBCASE("masks") {
    Sets sets;
    sets.val->annotations[3].segmentation = std::monostate{};
    CHECK_ERROR(sets.check(),
                "1 of the 5 annotations of val.json have no segmentation (103), which evaluation.metric = "
                "\"segm\" needs: add them, or set evaluation.metric = \"bbox\"");
    sets.config.evaluation.metric = "bbox";
    sets.check();
    CHECK(contains(sets.warned(), "val.json: there will be no segm figures: 1 of 5 annotations have no mask (103)"));
  }
  SUBCASE("boxes") {
    Sets sets;
    sets.config.evaluation.metric = "bbox";
    for (CocoAnnotation& annotation : sets.val->annotations) annotation.bbox = XywhBox{};
    CHECK_ERROR(sets.check(), "5 of the 5 annotations of val.json have no box (100, 101, 102 and 2 more)");
    sets.config.evaluation.metric = "segm";
    sets.check();
  }
  SUBCASE("masks that are none") {
    Sets sets;
    sets.val->annotations[1].segmentation = Polygons{{1e9, 0, 2e9, 0, 1e9, 5}};
    CHECK_ERROR(sets.check(),
                "1 of the 5 masks of val.json are malformed (val.json: annotations[1] (id 101): polygon: coordinate "
                "1000000000 is out of range");
  }
  SUBCASE("a test set") {
    Sets sets;
    sets.val->annotations.clear();
    CHECK_ERROR(sets.check(), "val.json has no annotations, as test sets have none");
    write_file(sets.folder / "test.json", R"({"images": [], "categories": []})");
    CHECK_ERROR(load_coco(sets.folder / "test.json"), "an image list, as of a test set");
  }
}

TEST_CASE("preflight: warns of objects that are left out, and of more than the network can find") {
  Sets sets;
  CocoAnnotation crowd = square(200, 0), maskless = square(201, 1);
  crowd.iscrowd = true;
  maskless.segmentation = std::monostate{};
  sets.train->annotations[0].bbox = XywhBox{};
  for (const CocoAnnotation& annotation : {crowd, maskless, square(202, 3), square(203, 3)})
    sets.train->annotations.push_back(annotation);
  sets.model.limit = {2, "model.num_masks"};
  CHECK(sets.warned() ==
        std::vector<std::string>{
            "train.json: 2 of 8 objects are left out: 1 crowd regions (annotation 200), 1 without a "
            "mask (annotation 201)",
            "train.json: 1 objects have no box, or an empty one, and get that of their mask (100)",
            "train.json: 1 of 4 pictures have more objects than the 2 that the network can find, up to "
            "3 (3.png); model.num_masks is the limit"});
}

TEST_CASE("preflight: warns of a schedule and of periods that the run is too short for") {
  Sets sets;
  sets.config.schedule.milestones = {3, 4, 100};
  sets.config.schedule.warmup_steps = 4;
  sets.config.evaluation.every = 5;
  sets.config.training.checkpoint_every = 6;
  CHECK(
      sets.warned() ==
      std::vector<std::string>{
          "schedule.milestones: the run ends before 4, 100, where the learning rate would drop (training.steps = 4)",
          "schedule.warmup_steps = 4: the run ends before the learning rate has reached its value (training.steps = 4)",
          "evaluation.every = 5: the only evaluation is after the last step (training.steps = 4)",
          "training.checkpoint_every = 6: the only checkpoint is after the last step (training.steps = 4)"});
  sets.config.schedule.kind = ScheduleKind::kCosine;  // which has no milestones
  CHECK_FALSE(contains(sets.warned(), "schedule.milestones"));
  CHECK_FALSE(contains(warnings(sets.model, sets.config, sets.train_source(), nullptr), "evaluation.every"));
}

}  // namespace
}  // namespace tessera
