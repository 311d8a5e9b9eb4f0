#include "data/cityscapes.h"

#include <doctest/doctest.h>

#include "data/image.h"
#include "tensor/file.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

TEST_CASE("cityscapes: the table of labels is whole, and the eight classes have instances") {
  const auto labels = cityscapes_labels();
  REQUIRE(labels.size() == 35);
  for (size_t i = 0; i < labels.size(); ++i) CHECK(labels[i].id == static_cast<i64>(i) - 1);
  for (const i64 id : kCityscapesClasses) {
    CHECK(find_cityscapes_label(id)->instances);
    CHECK(!find_cityscapes_label(id)->ignored);
  }
  CHECK(find_cityscapes_label(29)->ignored);
  CHECK(find_cityscapes_label(34) == nullptr);
}

TEST_CASE("cityscapes: a map of 16 bits falls into its regions") {
  const test::TemporaryFolder folder;
  //  7 7 26001      down the columns: 7 26, 7 7, 26001 26
  //  26 7 26
  const std::vector<u8> samples = {0, 7, 0, 7, 0x65, 0x91, 0, 26, 0, 7, 0, 26};
  write_file(folder / "map.png", test::png_bytes(2, 3, 0, 16, samples));
  const std::vector<CityscapesRegion> regions = load_cityscapes_regions(folder / "map.png");
  REQUIRE(regions.size() == 3);
  CHECK(regions[0].value == 7);
  CHECK(regions[0].mask == Rle{2, 3, {0, 1, 1, 2, 2}});
  CHECK(regions[1].value == 26);
  CHECK(regions[1].mask == Rle{2, 3, {1, 1, 3, 1}});
  CHECK(regions[1].label() == 26);
  CHECK(!regions[1].is_object());
  CHECK(regions[2].value == 26001);
  CHECK(regions[2].mask == Rle{2, 3, {4, 1, 1}});
  CHECK(regions[2].label() == 26);
  CHECK(regions[2].is_object());
}

TEST_CASE("cityscapes: regions cover a map wider than a strip, in 8 bits too") {
  const test::TemporaryFolder folder;
  Tensor map = Tensor::zeros({9, 70}, DType::kU8);
  for (i64 i = 0; i < map.numel(); ++i) map.data<u8>()[i] = static_cast<u8>(i * i % 5);
  save_png(folder / "map.png", map);
  i64 pixels = 0;
  for (const CityscapesRegion& region : load_cityscapes_regions(folder / "map.png")) {
    Tensor expected = Tensor::zeros({9, 70}, DType::kU8);
    for (i64 i = 0; i < map.numel(); ++i) expected.data<u8>()[i] = map.data<u8>()[i] == region.value;
    CHECK(region.mask == encode_rle(expected));
    pixels += rle_area(region.mask);
  }
  CHECK(pixels == 9 * 70);
}

TEST_CASE("cityscapes: a folder is a data set of the eight classes, whose groups are crowds") {
  const test::TemporaryFolder folder;
  const auto write_map = [&](const std::string& name, const std::vector<u8>& samples) {
    std::filesystem::create_directories(folder / "gtFine/train/town");
    write_file(folder / ("gtFine/train/town/" + name + "_gtFine_instanceIds.png"),
               test::png_bytes(2, 3, 0, 16, samples));
  };
  write_map("town_000001_000019", {0, 7, 0, 7, 0x65, 0x91, 0, 26, 0, 7, 0, 26});      // a car and a group of cars
  write_map("town_000000_000019", {0, 7, 0, 7, 0x71, 0x48, 0, 7, 0, 7, 0x71, 0x48});  // a caravan, which is no class
  Tally left_out;
  const CocoDataset dataset = load_cityscapes(folder / "gtFine/train", &left_out);
  CHECK(left_out.count == 1);
  CHECK(left_out.names() == "town_000000_000019: a caravan");
  REQUIRE(dataset.images.size() == 2);
  CHECK(dataset.images[0].file_name == "town/town_000000_000019_leftImg8bit.png");
  CHECK(dataset.images[1].id == 2);
  CHECK(dataset.images[1].height == 2);
  REQUIRE(dataset.categories.size() == 8);
  CHECK(dataset.categories[2].id == 26);
  CHECK(dataset.categories[2].name == "car");
  REQUIRE(dataset.annotations.size() == 2);
  const CocoAnnotation &group = dataset.annotations[0], &car = dataset.annotations[1];
  CHECK(group.iscrowd);
  CHECK(!car.iscrowd);
  CHECK(car.image_id == 2);
  CHECK(car.id == 2);
  CHECK(car.category_id == 26);
  CHECK(*car.bbox == XywhBox{2, 0, 1, 1});
  CHECK(*car.area == 1);
  CHECK(std::get<Rle>(car.segmentation) == Rle{2, 3, {4, 1, 1}});
  CHECK(dataset.annotations_of[0].empty());
}

TEST_CASE("cityscapes: labels that make no sense are errors that name the file") {
  const test::TemporaryFolder folder;
  const auto fails = [&](i32 value, const char* message) {
    save_png(folder / "town_000000_000019_gtFine_instanceIds.png", Tensor::full({2, 3}, value, DType::kI32));
    CHECK_ERROR(load_cityscapes(folder.path()), message);
  };
  fails(34,
        "town_000000_000019_gtFine_instanceIds.png: 6 pixels have the value 34, which is of no label of Cityscapes");
  fails(34001, "have the value 34001");
  fails(7000, "have the value 7000");  // a road is no object
  save_png(folder / "town_000000_000019_gtFine_instanceIds.png", Tensor::full({2, 3}, 29000, DType::kI32));
  CHECK(load_cityscapes(folder.path()).annotations.empty());
  write_file(folder / "town_000001_000019_gtFine_labelIds.png", "");
  CHECK_ERROR(load_cityscapes(folder.path()), "town_000001_000019_gtFine_labelIds.png: 1 pictures have labels but no");
}

TEST_CASE("cityscapes: pictures without labels are told") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder / "images/town");
  std::filesystem::create_directories(folder / "images/city");
  for (const char* name : {"town/town_000000_000019", "town/town_000001_000019", "city/city_000000_000019"})
    write_file(folder / (fmt::format("images/{}_leftImg8bit.png", name)), "");
  write_file(folder / "images/town/license.txt", "");
  save_png(folder / "town_000000_000019_gtFine_instanceIds.png", Tensor::full({2, 3}, 7, DType::kI32));
  const Tally without = cityscapes_without_labels(load_cityscapes(folder.path()), folder / "images");
  CHECK(without.count == 2);
  CHECK(without.names() == "city/city_000000_000019_leftImg8bit.png, town/town_000001_000019_leftImg8bit.png");
}

TEST_CASE("cityscapes: result files read back as they were written, and nothing of an earlier call is left") {
  const test::TemporaryFolder folder;
  const Rle car{2, 3, {1, 2, 3}}, person{2, 3, {0, 6}};
  const auto write = [&](const std::vector<CityscapesFound>& found) {
    save_cityscapes_results(folder.path(), "town_000000_000019", found);
    return load_cityscapes_results(folder / "town_000000_000019_pred.txt", folder.path());
  };
  const double third = 1.0 / 3;
  const std::vector<CityscapesDetection> two = write({{26, third, car}, {24, 1e-7, person}});
  REQUIRE(two.size() == 2);
  CHECK(two[0].label == 26);
  CHECK(two[0].confidence == third);
  CHECK(two[1].confidence == 1e-7);
  CHECK(load_cityscapes_mask(two[0].mask, 2, 3) == car);
  CHECK(load_cityscapes_mask(two[1].mask, 2, 3) == person);
  CHECK(read_file(folder / "town_000000_000019_pred.txt").starts_with("masks/town_000000_000019_000.png 26 0.333"));
  CHECK(write({{24, 0.5, person}}).size() == 1);
  CHECK(std::filesystem::exists(two[0].mask));
  CHECK(!std::filesystem::exists(two[1].mask));
  CHECK(write({}).empty());
  CHECK(!std::filesystem::exists(two[0].mask));
}

}  // namespace
}  // namespace tessera
