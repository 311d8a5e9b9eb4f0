#include "data/shapes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/coco.h"
#include "data/panoptic.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

using test::TemporaryFolder;

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.span<u8>(), b.span<u8>());
}

TEST_CASE("shapes: a picture is a function of seed, split and index") {
  ShapesConfig config;
  const ShapesPicture picture = draw_shapes(config, ShapesSplit::kTrain, 3);
  CHECK(same_bytes(draw_shapes(config, ShapesSplit::kTrain, 3).image, picture.image));
  CHECK_FALSE(same_bytes(draw_shapes(config, ShapesSplit::kTrain, 4).image, picture.image));
  CHECK_FALSE(same_bytes(draw_shapes(config, ShapesSplit::kVal, 3).image, picture.image));
  config.seed = 1;
  CHECK_FALSE(same_bytes(draw_shapes(config, ShapesSplit::kTrain, 3).image, picture.image));
}

TEST_CASE("shapes: pictures hold 1 to 5 visible objects of all classes, small and large, some of them occluded") {
  const ShapesConfig config;
  std::set<size_t> counts;
  std::set<i64> classes;
  i64 smallest = 1 << 30, largest = 0;
  for (i64 index = 0; index < 150; ++index) {
    const ShapesPicture picture = draw_shapes(config, ShapesSplit::kTrain, index);
    CHECK(picture.image.dim(0) >= 96);
    CHECK(picture.image.dim(0) <= 128);
    CHECK(picture.image.dim(1) >= 96);
    CHECK(picture.image.dim(1) <= 128);
    counts.insert(picture.classes.size());
    classes.insert(picture.classes.begin(), picture.classes.end());
    for (size_t k = 1; k <= picture.classes.size(); ++k) {
      const i64 area = std::ranges::count(picture.owners.span<u8>(), static_cast<u8>(k));
      smallest = std::min(smallest, area);
      largest = std::max(largest, area);
    }
    for (const u8 owner : picture.owners.span<u8>()) REQUIRE(owner <= picture.classes.size());
  }
  CHECK(counts == std::set<size_t>{1, 2, 3, 4, 5});
  CHECK(classes == std::set<i64>{0, 1, 2});
  CHECK(smallest >= 24);
  CHECK(smallest < 300);
  CHECK(largest > 3000);
}

// Of one kind of object in 300 pictures: length of its outline (pairs of pixels, of which one is the object's) over the
// root of its area: 4 of an upright square, 4.5 of a disc.
double outline(ShapesKind kind, i64 shape) {
  double ratios = 0, objects = 0;
  for (i64 index = 0; index < 300; ++index) {
    const ShapesPicture picture = draw_shapes({.kind = kind, .max_objects = 1}, ShapesSplit::kTrain, index);
    if (picture.classes != std::vector<i64>{shape}) continue;
    const i64 height = picture.owners.dim(0), width = picture.owners.dim(1);
    const u8* owner = picture.owners.data<u8>();
    double area = 0, pairs = 0;
    for (i64 y = 0; y < height; ++y) {
      for (i64 x = 0; x < width; ++x) {
        const u8 here = owner[y * width + x];
        area += here;
        pairs += (x + 1 < width && here != owner[y * width + x + 1]) +
                 (y + 1 < height && here != owner[(y + 1) * width + x]);
      }
    }
    ratios += pairs / std::sqrt(area);
    ++objects;
  }
  CHECK(objects > 60);
  return ratios / objects;
}

TEST_CASE("shapes: the fine kind has outlines that are long for their area; asterisks, all thin parts, the longest") {
  for (const i64 shape : {0, 1, 2}) CHECK(outline(ShapesKind::kPlain, shape) < 6);
  CHECK(outline(ShapesKind::kFine, 0) > 7);
  CHECK(outline(ShapesKind::kFine, 1) > 9);
  CHECK(outline(ShapesKind::kFine, 2) > 12);
}

TEST_CASE("shapes: all kinds of fine objects reach their circle and no further; a gear has a hole, the others none") {
  const TemporaryFolder folder;
  generate_shapes({.dir = folder / "set", .kind = ShapesKind::kFine, .train = 60, .val = 0, .max_objects = 1});
  const CocoDataset dataset = load_coco(folder / "set" / "instances_train.json");
  CHECK(dataset.categories[0].name == "star");
  CHECK(dataset.categories[1].name == "gear");
  CHECK(dataset.categories[2].name == "asterisk");
  int whole = 0;
  for (const CocoAnnotation& object : dataset.annotations) {
    const CocoImage& image = dataset.images[static_cast<size_t>(dataset.image_index.at(object.image_id))];
    const auto [x, y, w, h] = *object.bbox;
    if (x == 0 || y == 0 || x + w == image.width || y + h == image.height) continue;
    ++whole;
    CAPTURE(object.id);
    CHECK(std::max(w, h) >= 128 / 3 * 0.8);  // five points: the box is a little smaller than the circle's
    CHECK(std::max(w, h) <= 128 * 0.8 + 1);
    const Tensor mask = decode_rle(annotation_mask(object, image.height, image.width));
    const i64 centre = std::lround(y + h / 2) * image.width + std::lround(x + w / 2);
    CHECK((mask.data<u8>()[centre] != 0) == (object.category_id != 2));
  }
  CHECK(whole > 10);
}

TEST_CASE(
    "shapes: the files are a COCO data set whose masks are disjoint and exact; the same seed gives the same bytes") {
  const TemporaryFolder first, second;
  ShapesConfig config{.dir = first / "set", .train = 6, .val = 3, .size = 64};
  std::vector<i64> steps;
  generate_shapes(config, [&](i64 done, i64 total) {
    CHECK(total == 9);
    steps.push_back(done);
  });
  CHECK(steps == std::vector<i64>{1, 2, 3, 4, 5, 6, 7, 8, 9});

  for (const std::string split : {"train", "val"}) {
    const CocoDataset dataset = load_coco(config.dir / ("instances_" + split + ".json"));
    REQUIRE(dataset.images.size() == (split == "train" ? 6 : 3));
    REQUIRE(dataset.categories.size() == 3);
    CHECK(dataset.categories[1].name == "rectangle");
    for (size_t i = 0; i < dataset.images.size(); ++i) {
      const CocoImage& image = dataset.images[i];
      const ShapesPicture picture =
          draw_shapes(config, split == "train" ? ShapesSplit::kTrain : ShapesSplit::kVal, static_cast<i64>(i));
      CHECK(same_bytes(load_image(config.dir / split / image.file_name), picture.image));
      REQUIRE(dataset.annotations_of[i].size() == picture.classes.size());
      Tensor owners = Tensor::zeros({image.height, image.width}, DType::kU8);
      u8 k = 0;
      for (const i64 position : dataset.annotations_of[i]) {
        const CocoAnnotation& annotation = dataset.annotations[position];
        CHECK(annotation.category_id == picture.classes[k] + 1);
        ++k;
        const Tensor mask = decode_rle(annotation_mask(annotation, image.height, image.width));
        double area = 0;
        for (i64 p = 0; p < mask.numel(); ++p) {
          if (!mask.data<u8>()[p]) continue;
          CHECK(owners.data<u8>()[p] == 0);
          owners.data<u8>()[p] = k;
          ++area;
        }
        CHECK(annotation.area == area);
        CHECK(annotation.bbox == rle_bbox(encode_rle(mask)));
      }
      CHECK(same_bytes(owners, picture.owners));
    }
  }

  config.dir = second / "set";
  generate_shapes(config);
  for (const std::string name : {"instances_train.json", "instances_val.json", "train/000001.png", "val/000003.png"}) {
    CHECK(read_file(first / "set" / name) == read_file(second / "set" / name));
  }
}

TEST_CASE(
    "shapes: asked for, panoptic files have the same objects, and the ground as stuff that is called by its pattern") {
  const TemporaryFolder folder;
  const ShapesConfig config{.dir = folder / "set", .train = 12, .val = 1, .size = 64, .panoptic = true};
  generate_shapes(config);
  const CocoDataset objects = load_coco(config.dir / "instances_train.json"),
                    segments = load_panoptic_dataset(config.dir / "panoptic_train.json");
  REQUIRE(segments.categories.size() == 6);
  CHECK(segments.categories[0].name == "circle");
  CHECK(segments.categories[5].name == "blotches");
  CHECK(std::ranges::count_if(segments.categories, &CocoCategory::isthing) == 3);
  std::set<i64> grounds;
  for (size_t i = 0; i < segments.images.size(); ++i) {
    const CocoImage& image = segments.images[i];
    CHECK(image.file_name == objects.images[i].file_name);
    REQUIRE(segments.annotations_of[i].size() == objects.annotations_of[i].size() + 1);
    i64 pixels = 0;
    for (size_t k = 0; k < segments.annotations_of[i].size(); ++k) {
      const CocoAnnotation& segment = segments.annotations[static_cast<size_t>(segments.annotations_of[i][k])];
      const Rle mask = annotation_mask(segment, image.height, image.width);
      CHECK(static_cast<double>(rle_area(mask)) == segment.area);
      pixels += rle_area(mask);
      if (k == objects.annotations_of[i].size()) {
        const ShapesPicture picture = draw_shapes(config, ShapesSplit::kTrain, static_cast<i64>(i));
        CHECK(segment.category_id == 4 + picture.ground);
        grounds.insert(segment.category_id);
      } else {
        const CocoAnnotation& object = objects.annotations[static_cast<size_t>(objects.annotations_of[i][k])];
        CHECK(segment.category_id == object.category_id);
        CHECK(mask == std::get<Rle>(object.segmentation));
      }
    }
    CHECK(pixels == image.height * image.width);
  }
  CHECK(grounds == std::set<i64>{4, 5, 6});
}

TEST_CASE("shapes: a call that is stopped never leaves pictures under the annotations of others") {
  const TemporaryFolder folder;
  ShapesConfig config{.dir = folder / "set", .train = 3, .val = 1, .size = 32, .panoptic = true};
  generate_shapes(config);
  const auto stopped = [&] {
    generate_shapes(config, [](i64 done, i64) {
      if (done == 2) throw Error("stopped");
    });
  };
  CHECK_ERROR(stopped(), "stopped");
  CHECK(load_coco(config.dir / "instances_train.json").images.size() == 3);  // the same pictures: nothing has changed
  config.seed = 1;
  CHECK_ERROR(stopped(), "stopped");
  CHECK(!std::filesystem::exists(config.dir / "instances_train.json"));
  CHECK(!std::filesystem::exists(config.dir / "panoptic_train.json"));
  CHECK(std::filesystem::exists(config.dir / "instances_val.json"));
}

TEST_CASE("shapes: settings that make no sense and folders that cannot be made are errors") {
  const TemporaryFolder folder;
  CHECK_ERROR(generate_shapes({.dir = folder / "x", .size = 8}), "size is 8");
  CHECK_ERROR(generate_shapes({.dir = folder / "x", .train = -1}), "-1 train");
  CHECK_ERROR(generate_shapes({.dir = folder / "x", .max_objects = 0}), "max_objects is 0");
  write_file(folder / "file", "");
  CHECK_ERROR(generate_shapes({.dir = folder / "file", .train = 1, .val = 0}), "cannot be created");
}

}  // namespace
}  // namespace tessera
