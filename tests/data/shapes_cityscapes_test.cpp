#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/cityscapes.h"
#include "data/image.h"
#include "data/shapes.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files.emplace(entry.path().lexically_relative(folder).string(), read_file(entry.path()));
  return files;
}

TEST_CASE(
    "shapes: in the layout of Cityscapes there are all classes, groups, a caravan, and pictures without objects") {
  const test::TemporaryFolder folder;
  generate_shapes({.dir = folder.path(), .train = 60, .val = 3, .size = 96, .cityscapes = true});
  const CocoDataset data = load_cityscapes(folder / "gtFine/train");
  REQUIRE(data.images.size() == 60);
  CHECK(load_cityscapes(folder.path()).images.size() == 3);  // gtFine/val
  std::set<i64> classes, labels;
  i64 groups = 0, empty = 0;
  for (const CocoAnnotation& annotation : data.annotations) {
    classes.insert(annotation.category_id);
    groups += annotation.iscrowd;
  }
  for (const std::vector<i64>& of_image : data.annotations_of) empty += of_image.empty();
  CHECK(classes == std::set<i64>(kCityscapesClasses.begin(), kCityscapesClasses.end()));
  CHECK(groups > 5);
  CHECK(groups < 30);
  CHECK(empty > 5);
  CHECK(empty < 25);
  for (const CocoImage& image : data.images)
    CHECK(image_size(folder / "leftImg8bit/train" / image.file_name) == ImageSize{48, 96});
  for (const CityscapesImage& image : list_cityscapes(folder / "gtFine/train")) {
    const Tensor ids = load_grey(image.instances);
    std::string other = image.instances.string();
    other.replace(other.size() - kCityscapesInstances.size(), std::string::npos, kCityscapesLabels);
    const Tensor label_ids = load_grey(other);
    std::map<i64, std::set<i64>> numbers;
    for (i64 i = 0; i < ids.numel(); ++i) {
      const i64 value = ids.data<i32>()[i], label = value < 1000 ? value : value / 1000;
      REQUIRE(label_ids.data<i32>()[i] == label);
      labels.insert(label);
      if (value >= 1000) numbers[label].insert(value % 1000);
    }
    for (const auto& [label, used] : numbers) CHECK(*used.rbegin() == std::ssize(used) - 1);  // 0, 1, ...
  }
  for (const i64 label : {4, 7, 21, 29}) CHECK(labels.contains(label));
}

TEST_CASE("shapes: in the layout of Cityscapes a second call writes the same, and no call adds to other labels") {
  const test::TemporaryFolder folder;
  ShapesConfig config{.dir = folder.path(), .train = 3, .val = 2, .size = 64, .cityscapes = true};
  generate_shapes(config);
  const auto files = files_of(folder.path());
  CHECK(files.size() == 15);
  generate_shapes(config);
  CHECK(files_of(folder.path()) == files);
  config.val = 1;
  CHECK_ERROR(generate_shapes(config), "westtown_000001_000019_gtFine_instanceIds.png: is there already");
  CHECK(files_of(folder.path()) == files);
  config.panoptic = true;
  CHECK_ERROR(generate_shapes(config), "panoptic files are COCO's");
}

TEST_CASE("shapes: a map of 16 bits reads back as it was") {
  const test::TemporaryFolder folder;
  const Tensor map = Tensor::from(std::vector<i32>{0, 255, 256, 26001, 33999, 65535}, {2, 3});
  save_png(folder / "map.png", map);
  CHECK(std::ranges::equal(load_grey(folder / "map.png").span<i32>(), map.span<i32>()));
  CHECK_ERROR(encode_png(Tensor::full({1, 1}, 65536, DType::kI32)), "65536 does not fit into 16 bits");
}

}  // namespace
}  // namespace tessera
