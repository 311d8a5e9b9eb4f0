#include "data/coco_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

using test::TemporaryFolder;

constexpr i64 kHeight = 60, kWidth = 90;
const Polygon kTriangle = {10, 10, 70, 15, 30, 50};

// White inside the triangle, black outside: what the annotation says can be read off the picture.
Tensor triangle_mask() {
  return decode_rle(annotation_mask({.segmentation = Polygons{kTriangle}}, kHeight, kWidth));
}

CocoAnnotation annotation(i64 id, i64 image, auto segmentation, bool crowd = false) {
  CocoAnnotation annotation;
  annotation.id = id;
  annotation.image_id = image;
  annotation.category_id = 7;
  annotation.bbox = {10, 10, 60, 40};
  annotation.area = 1;
  annotation.iscrowd = crowd;
  annotation.segmentation = segmentation;
  return annotation;
}

// Image 1: the triangle as polygon and as RLE, and a crowd. Image 2: only a crowd. Image 3: nothing.
std::shared_ptr<CocoDataset> write_dataset(const TemporaryFolder& folder) {
  const Tensor mask = triangle_mask();
  Tensor image = Tensor::empty({kHeight, kWidth, 3}, DType::kU8);
  for (i64 i = 0; i < image.numel(); ++i) image.data<u8>()[i] = mask.data<u8>()[i / 3] ? 255 : 0;
  auto dataset = std::make_shared<CocoDataset>();
  dataset->name = "annotations.json";
  dataset->categories = {{7, "triangle"}, {3, "other"}};
  for (i64 id = 1; id <= 3; ++id) {
    dataset->images.push_back({id, "image" + std::to_string(id) + ".png", kHeight, kWidth});
    save_png(folder / dataset->images.back().file_name, image);
  }
  dataset->annotations = {annotation(11, 1, Polygons{kTriangle}), annotation(12, 1, encode_rle(mask)),
                          annotation(13, 1, encode_rle(mask), true), annotation(14, 2, encode_rle(mask), true)};
  index_coco(*dataset);
  return dataset;
}

// Share of the picture's pixels where the mask and the (bilinearly resized) white triangle disagree.
double disagreement(const Sample& sample, i64 k) {
  const i64 pixels = sample.image.dim(0) * sample.image.dim(1);
  i64 wrong = 0;
  for (i64 i = 0; i < pixels; ++i) {
    const bool white = sample.image.data<u8>()[i * 3] >= 128;
    wrong += white != (sample.targets.masks.data<u8>()[k * pixels + i] != 0);
  }
  return static_cast<double>(wrong) / static_cast<double>(pixels);
}

TEST_CASE("coco source: the test resize maps picture, polygon, RLE and box together") {
  const TemporaryFolder folder;
  const CocoSource source(write_dataset(folder), folder.path(), {.shortest = 120, .longest = 1000});
  REQUIRE(source.size() == 3);
  const Sample sample = source.load(0, 0);
  CHECK(sample.image.shape() == Shape{120, 180, 3});
  CHECK(sample.original == ImageSize{kHeight, kWidth});
  CHECK(sample.image_id == 1);
  REQUIRE(sample.targets.count() == 2);  // the crowd is left out
  CHECK(sample.targets.annotations == std::vector<i64>{11, 12});
  CHECK(sample.targets.masks.shape() == Shape{2, 120, 180});
  CHECK(sample.targets.classes.data<i64>()[0] == 1);  // category 7 is the second by id
  for (i64 k = 0; k < 2; ++k) {
    CHECK(disagreement(sample, k) < 0.01);
    const float* box = sample.targets.boxes.data<float>() + 4 * k;
    CHECK(std::vector<float>(box, box + 4) == std::vector<float>{20, 20, 140, 100});
  }
}

TEST_CASE("coco source: the targets alone are those of the sample, augmented or not; no picture is read") {
  const TemporaryFolder folder, empty;
  const std::shared_ptr<CocoDataset> dataset = write_dataset(folder);
  AugmentConfig augment;
  augment.shortest = {40, 90};
  AugmentConfig all = augment;
  all.rotate_90_probability = all.mosaic_probability = all.copy_paste_probability = 0.5;
  for (const std::optional<AugmentConfig>& chain :
       {std::optional<AugmentConfig>(), std::optional(augment), std::optional(all)}) {
    const CocoSource with(dataset, folder.path(), {.augment = chain}),
        without(dataset, empty.path(), {.augment = chain});
    for (i64 epoch = 0; epoch < 4; ++epoch) {
      const Targets want = with.load(epoch, 0).targets, got = without.targets(epoch, 0);
      CHECK(got.annotations == want.annotations);
      CHECK(std::ranges::equal(got.masks.span<u8>(), want.masks.span<u8>()));
      CHECK(std::ranges::equal(got.boxes.span<float>(), want.boxes.span<float>()));
    }
  }
}

// Images of one triangle each, at its place in the file as a polygon or as runs.
std::shared_ptr<CocoDataset> triangles(const TemporaryFolder& folder, i64 count) {
  const std::shared_ptr<CocoDataset> dataset = write_dataset(folder);
  const CocoImage image = dataset->images[0];
  dataset->images.clear();
  dataset->annotations.clear();
  for (i64 id = 1; id <= count; ++id) {
    dataset->images.push_back({id, image.file_name, kHeight, kWidth});
    dataset->annotations.push_back(annotation(10 * id, id, Polygons{kTriangle}));
    if (id % 2) dataset->annotations.back().segmentation = encode_rle(triangle_mask());
  }
  index_coco(*dataset);
  return dataset;
}

TEST_CASE("coco source: mosaics and pasted objects are white where their masks are, and boxes are tight around them") {
  const TemporaryFolder folder;
  const std::shared_ptr<CocoDataset> dataset = triangles(folder, 6);
  CocoSourceConfig config{.augment = AugmentConfig{}};
  config.augment->shortest = {100};
  config.augment->rotate_90_probability = 0.5;
  config.augment->least_pixels = 20;
  for (const auto& [mosaic, paste] : {std::pair(1.0, 0.0), {0.0, 1.0}, {0.5, 0.5}}) {
    CAPTURE(mosaic);
    config.augment->mosaic_probability = mosaic;
    config.augment->copy_paste_probability = paste;
    const CocoSource source(dataset, folder.path(), config);
    i64 objects = 0, foreign = 0;
    for (i64 epoch = 0; epoch < 30; ++epoch)
      for (i64 index = 0; index < 6; ++index) {
        const Sample sample = source.load(epoch, index);
        const Targets& targets = sample.targets;
        const i64 height = sample.image.dim(0), width = sample.image.dim(1), pixels = height * width;
        CHECK(std::min(height, width) == 100);
        REQUIRE(targets.masks.shape() == Shape{targets.count(), height, width});
        std::vector<u8> any(static_cast<size_t>(pixels));
        objects += targets.count();
        for (i64 k = 0; k < targets.count(); ++k) {
          foreign += targets.annotations[k] != 10 * (index + 1);
          const u8* mask = targets.masks.data<u8>() + k * pixels;
          i64 area = 0, outside = 0;
          const float* box = targets.boxes.data<float>() + 4 * k;
          for (i64 i = 0; i < pixels; ++i) {
            any[i] |= mask[i];
            area += mask[i];
            const double x = static_cast<double>(i % width), y = static_cast<double>(i / width);
            outside += mask[i] && (x < box[0] - 1 || x + 1 > box[2] + 1 || y < box[1] - 1 || y + 1 > box[3] + 1);
          }
          CHECK(area >= 20);
          CHECK(outside == 0);
        }
        i64 wrong = 0;
        for (i64 i = 0; i < pixels; ++i) wrong += any[i] != (sample.image.data<u8>()[3 * i] >= 128);
        CHECK(static_cast<double>(wrong) < 0.05 * static_cast<double>(pixels));
        CHECK(sample.image_id == index + 1);
      }
    CHECK(objects > 200);
    CHECK(foreign > 60);
    CHECK(source.fullest() > 1);  // a picture has one
    CHECK(source.fullest() <= (mosaic > 0 ? 5 : 2));
  }
}

TEST_CASE("coco source: what acts on pixels or is off leaves the geometry of a seed as it is") {
  const TemporaryFolder folder;
  const std::shared_ptr<CocoDataset> dataset = triangles(folder, 3);
  CocoSourceConfig config{.augment = AugmentConfig{}, .seed = 9};
  const CocoSource plain(dataset, folder.path(), config);
  config.augment->colour = {.brightness = 0.9, .contrast = 0.5, .saturation = 0.5, .hue = 0.2};
  const CocoSource coloured(dataset, folder.path(), config);
  i64 changed = 0;
  for (i64 epoch = 0; epoch < 8; ++epoch) {
    const Sample a = plain.load(epoch, 1), b = coloured.load(epoch, 1), again = coloured.load(epoch, 1);
    CHECK(std::ranges::equal(a.targets.masks.span<u8>(), b.targets.masks.span<u8>()));
    CHECK(std::ranges::equal(b.image.span<u8>(), again.image.span<u8>()));
    changed += !std::ranges::equal(a.image.span<u8>(), b.image.span<u8>());
  }
  CHECK(changed > 4);  // white that becomes brighter stays as it is
}

TEST_CASE("coco source: the factor of an image is that of its rarest class") {
  const TemporaryFolder folder;
  const std::shared_ptr<CocoDataset> dataset = triangles(folder, 8);
  for (CocoAnnotation& each : dataset->annotations) each.category_id = 3;
  dataset->annotations[0].category_id = 7;                                        // of one in eight
  dataset->annotations.push_back(annotation(999, 8, Polygons{kTriangle}, true));  // a crowd region is no object
  index_coco(*dataset);
  const CocoSource plain(dataset, folder.path(), {}), rare(dataset, folder.path(), {.repeat_threshold = 0.5});
  CHECK(plain.repeats(0) == 1);
  CHECK(plain.drawn_per_epoch() == 8);
  CHECK(rare.repeats(0) == doctest::Approx(2));  // sqrt(0.5 / (1 / 8))
  for (i64 index = 1; index < 8; ++index) CHECK(rare.repeats(index) == 1);
  CHECK(rare.drawn_per_epoch() == doctest::Approx(9));
}

TEST_CASE("coco source: masks follow the picture through every augmentation") {
  const TemporaryFolder folder;
  CocoSourceConfig config;
  config.augment = AugmentConfig{};
  config.augment->shortest = {40, 90, 130};
  config.augment->longest = 170;
  config.augment->crop_probability = 0.5;
  config.augment->crop_shortest = {50, 80};
  config.augment->crop_min = 30;
  config.augment->crop_max = 60;
  const CocoSource source(write_dataset(folder), folder.path(), config);
  int dropped = 0, cropped = 0;
  for (i64 epoch = 0; epoch < 120; ++epoch) {
    const Sample sample = source.load(epoch, 0);
    const i64 pixels = sample.image.dim(0) * sample.image.dim(1);
    CHECK(sample.targets.masks.shape() == Shape{sample.targets.count(), sample.image.dim(0), sample.image.dim(1)});
    dropped += sample.targets.count() == 0;
    for (i64 k = 0; k < sample.targets.count(); ++k) {
      CAPTURE(epoch);
      CAPTURE(k);
      CHECK(disagreement(sample, k) < 0.04);  // the outline's pixels
      const std::span<const u8> mask = std::as_const(sample.targets.masks).span<u8>().subspan(k * pixels, pixels);
      CHECK(std::ranges::any_of(mask, [](u8 value) { return value == 1; }));
      const float* box = sample.targets.boxes.data<float>() + 4 * k;
      CHECK(box[0] >= 0);
      CHECK(box[2] <= static_cast<float>(sample.image.dim(1)));
      CHECK(box[1] < box[3]);
      cropped += std::abs((box[2] - box[0]) / (box[3] - box[1]) - 1.5f) > 0.3f;
    }
  }
  CHECK(cropped > 10);
  CHECK(dropped < 60);
}

TEST_CASE("coco source: by DETR's rule boxes are the annotated ones behind a crop, too, and decide what is left") {
  const TemporaryFolder folder;
  const auto dataset = write_dataset(folder);
  CocoSourceConfig config;
  config.augment = AugmentConfig{};
  config.augment->resize = ResizeRule::kDetr;
  config.augment->shortest = {90};
  config.augment->longest = 170;
  config.augment->crop_probability = 1;
  config.augment->crop_shortest = {60};
  config.augment->crop_min = 12;
  config.augment->crop_max = 40;
  config.seed = 5;
  const CocoSource source(dataset, folder.path(), config);
  int empty_masks = 0, dropped = 0;
  for (i64 epoch = 0; epoch < 150; ++epoch) {
    CAPTURE(epoch);
    const Sample sample = source.load(epoch, 0);
    // What the same draws make of the annotated box, [10, 10, 60, 40].
    Random random(5, stream_of("augment", {static_cast<u64>(epoch), 0}));
    const Geometry geometry = augment_geometry(*config.augment, {kHeight, kWidth}, random);
    REQUIRE(sample.image.shape() == Shape{geometry.size().height, geometry.size().width, 3});
    const Box box = geometry.apply_to_box({10, 10, 70, 50});
    const bool left = box[2] > box[0] && box[3] > box[1];
    REQUIRE(sample.targets.count() == (left ? 2 : 0));
    dropped += !left;
    for (i64 k = 0; k < sample.targets.count(); ++k) {
      CHECK(disagreement(sample, k) < 0.06);  // the outline's pixels, doubled by the two resizes
      const float* found = sample.targets.boxes.data<float>() + 4 * k;
      for (size_t side = 0; side < 4; ++side) CHECK(found[side] == static_cast<float>(box[side]));
      const i64 pixels = sample.targets.masks.numel() / 2;
      const auto mask = std::as_const(sample.targets.masks).span<u8>().subspan(k * pixels, pixels);
      empty_masks += std::ranges::none_of(mask, [](u8 value) { return value != 0; });
      // Polygon and runs say the same, drawn at the picture's own size.
      CHECK(std::ranges::equal(mask, std::as_const(sample.targets.masks).span<u8>().first(pixels)));
    }
  }
  CHECK(dropped > 0);
  CHECK(empty_masks > 0);  // a crop that has a corner of the box, and nothing of the triangle
}

TEST_CASE(
    "coco source: a letterbox holds the whole picture, or a jittered part, and a batch is as large as the window") {
  const TemporaryFolder folder;
  const auto dataset = write_dataset(folder);
  const auto fixed = std::make_shared<CocoSource>(
      dataset, folder.path(), CocoSourceConfig{.resize = ResizeRule::kLetterbox, .window = {96, 64}});
  const Sample whole = fixed->load(0, 0);
  CHECK(whole.image.shape() == Shape{43, 64, 3});  // 42.67
  for (i64 k = 0; k < 2; ++k) CHECK(disagreement(whole, k) < 0.02);
  Loader loader(fixed, {.batch_size = 3, .training = false, .workers = 0, .statistics = {}, .least = {96, 64}});
  CHECK(loader.next()->padded == ImageSize{96, 64});

  CocoSourceConfig config{.augment = AugmentConfig{}};
  config.augment->resize = ResizeRule::kLetterbox;
  config.augment->scale_jitter = ScaleJitter{0.6, 1.4, {96, 64}};
  config.augment->least_pixels = 9;
  const CocoSource jittered(dataset, folder.path(), config);
  bool smaller = false, larger = false;
  for (i64 epoch = 0; epoch < 60; ++epoch) {
    const Sample sample = jittered.load(epoch, 0);
    CHECK(sample.image.dim(0) <= 96);
    CHECK(sample.image.dim(1) <= 64);
    smaller |= sample.image.dim(1) < 64;
    larger |= sample.image.dim(0) > 43;
    for (i64 k = 0; k < sample.targets.count(); ++k) CHECK(disagreement(sample, k) < 0.05);
  }
  CHECK(smaller);
  CHECK(larger);
  config.augment->least_pixels = 5000;  // more than the triangle has
  const CocoSource none(dataset, folder.path(), config);
  CHECK(none.load(0, 0).targets.count() == 0);
  CHECK(none.too_small() == 2);
  CHECK(jittered.too_small() == 0);
}

TEST_CASE("coco source: stretched pictures fill the window, and so do their objects") {
  const TemporaryFolder folder;
  const auto dataset = write_dataset(folder);
  const CocoSource fixed(dataset, folder.path(), {.resize = ResizeRule::kStretch, .window = {96, 64}});
  const Sample whole = fixed.load(0, 0);
  CHECK(whole.image.shape() == Shape{96, 64, 3});
  for (i64 k = 0; k < 2; ++k) CHECK(disagreement(whole, k) < 0.02);
  CocoSourceConfig config{.augment = AugmentConfig{}};
  config.augment->resize = ResizeRule::kStretch;
  config.augment->scale_jitter = ScaleJitter{0.5, 0.5, {96, 64}};
  CHECK(CocoSource(dataset, folder.path(), config).load(0, 0).image.shape() == Shape{48, 32, 3});
}

TEST_CASE("coco source: a sample is a function of seed, epoch and place in the file") {
  const TemporaryFolder folder;
  const auto dataset = write_dataset(folder);
  CocoSourceConfig config{.augment = AugmentConfig{}, .seed = 3};
  const CocoSource all(dataset, folder.path(), config);
  for (i64 epoch = 0; epoch < 3; ++epoch) {
    const Sample a = all.load(epoch, 0), b = all.load(epoch, 0);
    CHECK(std::ranges::equal(a.image.span<u8>(), b.image.span<u8>()));
  }
  std::swap(dataset->images[0], dataset->images[2]);  // now the one with objects is the last
  index_coco(*dataset);
  const CocoSource everything(dataset, folder.path(), config);
  config.skip_empty = true;
  const CocoSource some(dataset, folder.path(), config);
  REQUIRE(some.size() == 1);
  const Sample a = some.load(5, 0), b = everything.load(5, 2);
  CHECK(std::ranges::equal(a.image.span<u8>(), b.image.span<u8>()));
}

TEST_CASE("coco source: pictures without objects give empty targets, or are left out") {
  const TemporaryFolder folder;
  const auto dataset = write_dataset(folder);
  const CocoSource source(dataset, folder.path(), {.shortest = 60});
  for (const i64 index : {1, 2}) {
    const Sample sample = source.load(0, index);
    CHECK(sample.targets.count() == 0);
    CHECK(sample.targets.masks.shape() == Shape{0, 60, 90});
    CHECK(sample.targets.classes.shape() == Shape{0});
    CHECK(sample.targets.boxes.shape() == Shape{0, 4});
  }
  CHECK(CocoSource(dataset, folder.path(), {.skip_empty = true}).size() == 1);
  CHECK_FALSE(CocoSource(dataset, folder.path(), {.targets = false}).load(0, 0).targets.masks.defined());
}

TEST_CASE("coco source: every fault names the file") {
  const TemporaryFolder folder;
  const auto dataset = write_dataset(folder);
  save_png(folder / "image1.png", Tensor::zeros({kWidth, kHeight, 3}, DType::kU8));
  write_file(folder / "image2.png", read_file(folder / "image3.png").substr(0, 100));
  std::filesystem::remove(folder / "image3.png");
  const CocoSource source(dataset, folder.path(), {});
  CHECK_ERROR(source.load(0, 0),
              "image1.png: the picture is 90 x 60 pixels (height x width), but annotations.json says 60 x 90");
  CHECK_ERROR(source.load(0, 1), "image2.png: cannot be decoded");
  CHECK_ERROR(source.load(0, 2), "image3.png: cannot be opened");
}

TEST_CASE("coco source: an object without a usable mask is left out, counted and named") {
  const TemporaryFolder folder;
  auto dataset = write_dataset(folder);
  const Polygon outside = {200, 10, 240, 10, 240, 50}, flat = {10, 10, 50, 10, 30, 10}, far = {1e9, 0, 2e9, 0, 1e9, 9};
  for (i64 id = 20; const Polygon& polygon : {outside, flat, far})
    dataset->annotations.push_back(annotation(id++, 1, Polygons{polygon}));
  dataset->annotations.push_back(annotation(23, 1, encode_rle(Tensor::zeros({kHeight, kWidth}, DType::kU8))));
  for (i64 id = 30; id < 35; ++id) dataset->annotations.push_back(annotation(id, 3, std::monostate{}));
  index_coco(*dataset);
  const CocoSource source(dataset, folder.path(), {.shortest = 60});
  CHECK(source.left_out() ==
        "11 of 13 objects are left out: 2 crowd regions (annotations 13, 14), "
        "5 without a mask (annotations 30, 31, 32 and 2 more), 1 with a malformed mask (annotation 22), "
        "3 with an empty mask, or one outside the picture (annotations 20, 21, 23)");
  CHECK(source.objects(0) == 2);
  CHECK(source.objects(2) == 0);
  CHECK(source.load(0, 0).targets.annotations == std::vector<i64>{11, 12});
  CHECK(CocoSource(dataset, folder.path(), {.skip_empty = true}).size() == 1);
  const CocoSource pictures(dataset, folder.path(), {.targets = false});  // nothing is left out of pictures alone
  CHECK(pictures.left_out().empty());
  CHECK(pictures.objects(2) == 5);
}

TEST_CASE(
    "coco source: an object without a box gets that of its mask, and with an empty one, too, but by DETR's rule is "
    "left "
    "out") {
  const TemporaryFolder folder;
  auto dataset = write_dataset(folder);
  CocoAnnotation& first = dataset->annotations[0];
  const auto [x, y, w, h] = rle_bbox(annotation_mask(first, kHeight, kWidth));
  const CocoSourceConfig detectron2{.shortest = 60}, detr{.shortest = 60, .resize = ResizeRule::kDetr};
  CHECK(CocoSource(dataset, folder.path(), detectron2).boxes_of_masks().count == 0);
  const std::optional<XywhBox> useless[] = {{}, XywhBox{}, XywhBox{10, 10, 0, 40}, XywhBox{500, 10, 60, 40}};
  for (const std::optional<XywhBox>& box : useless) {
    first.bbox = box;
    for (const CocoSourceConfig& config : {detectron2, detr}) {
      const CocoSource source(dataset, folder.path(), config);
      const Sample sample = source.load(0, 0);
      if (box && config.resize == ResizeRule::kDetr) {
        CHECK(source.left_out() ==
              "3 of 4 objects are left out: 2 crowd regions (annotations 13, 14), 1 with an empty box, or one outside "
              "the picture (annotation 11)");
        CHECK(sample.targets.annotations == std::vector<i64>{12});
        continue;
      }
      CHECK(source.boxes_of_masks().first == std::vector<std::string>{"11"});
      REQUIRE(sample.targets.annotations == std::vector<i64>{11, 12});
      const float* found = sample.targets.boxes.data<float>();
      CHECK(std::vector<double>(found, found + 4) == std::vector<double>{x, y, x + w, y + h});
      CHECK(std::vector<double>(found + 4, found + 8) == std::vector<double>{10, 10, 70, 50});  // as annotated
    }
  }
}

TEST_CASE("coco source: a data set without pictures, or without an object to train on, is an error") {
  const TemporaryFolder folder;
  auto dataset = write_dataset(folder);
  for (CocoAnnotation& annotation : dataset->annotations) annotation.segmentation = std::monostate{};
  CHECK_ERROR(CocoSource(dataset, folder.path(), {}),
              "annotations.json: there is no object to train on: 3 images, 4 annotations; 4 of 4 objects are left out: "
              "2 crowd regions (annotations 13, 14), 2 without a mask (annotations 11, 12)");
  CHECK(CocoSource(dataset, folder.path(), {.targets = false}).size() == 3);
  dataset->annotations.clear();
  index_coco(*dataset);
  CHECK_ERROR(CocoSource(dataset, folder.path(), {}), "there is no object to train on: 3 images, 0 annotations");
  dataset->images.clear();
  index_coco(*dataset);
  CHECK_ERROR(CocoSource(dataset, folder.path(), {}), "the data set is empty: 0 images");
  CHECK_ERROR(CocoSource(dataset, folder.path(), {.shortest = 0}), "sides of 0");
}

}  // namespace
}  // namespace tessera
