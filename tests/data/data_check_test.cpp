#include "data/data_check.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tensor/file.h"
#include "tests/data/test_images.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

using test::TemporaryFolder;
using Names = std::vector<std::string>;

constexpr i64 kHeight = 20, kWidth = 30;

CocoAnnotation square(i64 id, i64 image, i64 category = 1) {
  return {.id = id,
          .image_id = image,
          .category_id = category,
          .bbox = XywhBox{2, 2, 10, 10},
          .area = 100,
          .segmentation = Polygons{{2, 2, 12, 2, 12, 12, 2, 12}}};
}

void write_picture(const std::filesystem::path& file, u8 grey) {
  Tensor picture = Tensor::zeros({kHeight, kWidth, 3}, DType::kU8);
  std::ranges::fill(picture.span<u8>(), grey);
  save_png(file, picture);
}

// Pictures 1.png, 2.png, ... of one square each, all of them different.
CocoDataset write_set(const TemporaryFolder& folder, i64 pictures, u8 grey = 0) {
  CocoDataset dataset;
  dataset.name = "set.json";
  dataset.categories = {{1, "bolt"}};
  for (i64 id = 1; id <= pictures; ++id) {
    dataset.images.push_back({id, std::to_string(id) + ".png", kHeight, kWidth});
    write_picture(folder / dataset.images.back().file_name, static_cast<u8>(grey + id));
    dataset.annotations.push_back(square(100 + id, id));
  }
  return dataset;
}

// Checks all but what is said to be found, of which there must be something, to be free of defects.
void check_only(const DataCheck& check, std::initializer_list<Defect> expected) {
  for (const DefectKind& kind : kDefectKinds) {
    INFO(kind.name);
    CHECK(check.found(kind.defect).empty() == (std::ranges::find(expected, kind.defect) == expected.end()));
  }
}

}  // namespace

TEST_CASE("data check: the table of defects is in the order of the enumeration") {
  for (size_t i = 0; i < kDefectKinds.size(); ++i) CHECK(static_cast<size_t>(kDefectKinds[i].defect) == i);
}

TEST_CASE("data check: nothing is found in a sound set, and every annotation and picture is counted") {
  const TemporaryFolder folder;
  DataCheck check(write_set(folder, 3));
  i64 annotations = 0, pictures = 0;
  check.check_annotations([&](i64 done, i64) { annotations = done; });
  check.check_pictures(folder.path(), [&](i64 done, i64) { pictures = done; });
  CHECK(annotations == 3);
  CHECK(pictures == 3);
  check_only(check, {});
  CHECK(check.faults() == 0);
  CHECK(check.remarks() == 0);
}

TEST_CASE("data check: repeated and unknown ids are all found, and the rest is checked without them") {
  const TemporaryFolder folder;
  CocoDataset dataset = write_set(folder, 2);
  dataset.images.push_back(dataset.images[0]);
  dataset.categories.push_back({1, "again"});
  dataset.annotations.push_back(square(101, 2));
  dataset.annotations.push_back(square(200, 9));
  dataset.annotations.push_back(square(201, 1, 7));
  DataCheck check(std::move(dataset));
  check.check_annotations();
  check.check_pictures(folder.path());
  check_only(check, {Defect::kRepeatedId, Defect::kUnknownId});
  CHECK(check.found(Defect::kRepeatedId) == Names{"image 1", "category 1", "annotation 101"});
  CHECK(check.found(Defect::kUnknownId) ==
        Names{"annotation 200: there is no image 9", "annotation 201: there is no category 7"});
  CHECK(check.dataset().annotations.size() == 2);
  CHECK(check.faults() == 5);
}

TEST_CASE("data check: masks, boxes and areas are judged, and what a file may lack is a remark") {
  const TemporaryFolder folder;
  CocoDataset dataset = write_set(folder, 8);
  std::vector<CocoAnnotation>& annotations = dataset.annotations;
  annotations[0].segmentation = std::monostate();
  annotations[1].segmentation = Rle{5, 5, {25}};
  annotations[2].segmentation = Rle{kHeight, kWidth, {kHeight * kWidth}};
  annotations[3].bbox = XywhBox{25, 2, 7, 10};
  annotations[4].bbox = XywhBox{0, 0, 0, 0};
  annotations[5].area = 0;
  annotations[6].bbox.reset();
  annotations[6].area.reset();
  annotations[7].bbox = XywhBox{-0.5, 2, kWidth + 1, 10};  // rounded
  DataCheck check(std::move(dataset));
  check.check_annotations();
  check_only(check, {Defect::kNoMask, Defect::kMalformedMask, Defect::kEmptyMask, Defect::kBadBox, Defect::kBadArea,
                     Defect::kNoBox, Defect::kNoArea});
  CHECK(check.found(Defect::kNoMask) == Names{"annotation 101 (1.png)"});
  CHECK(check.found(Defect::kMalformedMask) ==
        Names{"annotation 102 (2.png): its run-length mask is 5 x 5 (height x width), its image 20 x 30"});
  CHECK(check.found(Defect::kEmptyMask) == Names{"annotation 103 (3.png)"});
  CHECK(check.found(Defect::kBadBox) ==
        Names{"annotation 104 (4.png): [25, 2, 7, 10] (x, y, width, height) reaches out of 20 x 30 (height x width)",
              "annotation 105 (5.png): [0, 0, 0, 0] (x, y, width, height) is empty"});
  CHECK(check.found(Defect::kBadArea) == Names{"annotation 106 (6.png): 0"});
  CHECK(check.found(Defect::kNoBox) == Names{"annotation 107 (7.png)"});
  CHECK(check.faults() == 6);
  CHECK(check.remarks() == 2);
}

TEST_CASE("data check: a picture is decoded to its end, not only to its header") {
  const TemporaryFolder folder;
  CocoDataset dataset = write_set(folder, 4);
  const std::string whole = read_file(folder / "1.png");
  write_file(folder / "1.png", whole.substr(0, whole.size() - 20));
  std::filesystem::remove(folder / "2.png");
  dataset.images[2].width = kHeight;
  dataset.annotations.erase(dataset.annotations.begin() + 2);
  CHECK(image_size(folder / "1.png") == ImageSize{kHeight, kWidth});
  DataCheck check(std::move(dataset));
  check.check_pictures(folder.path());
  check_only(check, {Defect::kAbsentPicture, Defect::kDamagedPicture, Defect::kOtherSize});
  CHECK(check.found(Defect::kDamagedPicture).at(0).starts_with((folder / "1.png").string() + ": "));
  CHECK(check.found(Defect::kAbsentPicture) == Names{"2.png"});
  CHECK(check.found(Defect::kOtherSize) == Names{"3.png is 20 x 30 (height x width), annotated 20 x 20"});
}

TEST_CASE("data check: damage within a JPEG's data, which costs a part of the picture, is a remark") {
  const TemporaryFolder folder;
  const CocoDataset dataset = write_set(folder, 2);
  Tensor noise = Tensor::empty({kHeight, kWidth, 3}, DType::kU8);
  for (i64 i = 0; i < noise.numel(); ++i) noise.data<u8>()[i] = static_cast<u8>(i * i * 37 + i);
  std::string jpeg = test::jpeg_bytes(noise);  // whatever the name, a file is known by its first bytes
  write_file(folder / "2.png", jpeg);
  jpeg.replace(jpeg.size() - 300, 2, "\xFF\xD3");  // a marker, where the data do not end
  write_file(folder / "1.png", jpeg);
  DataCheck check(dataset);
  check.check_pictures(folder.path());
  check_only(check, {Defect::kDamagedPart});
  CHECK(check.found(Defect::kDamagedPart).size() == 1);
  CHECK(check.found(Defect::kDamagedPart).at(0).starts_with("1.png (id 1): Corrupt JPEG data"));
}

TEST_CASE("data check: the same content is a duplicate within a set and a leak between two") {
  const TemporaryFolder folder, other;
  CocoDataset trained = write_set(folder, 3), held_out = write_set(other, 2, 100);
  write_picture(folder / "3.png", 1);
  write_picture(other / "2.png", 1);
  held_out.categories.push_back({2, "nut"});
  DataCheck train(std::move(trained)), val(std::move(held_out));
  train.check_pictures(folder.path());
  val.check_pictures(other.path());
  val.check_against(train);
  check_only(train, {Defect::kDuplicate});
  CHECK(train.found(Defect::kDuplicate) == Names{"3.png (id 3) = 1.png (id 1)"});
  check_only(val, {Defect::kLeak, Defect::kStrangeCategory, Defect::kUnusedClass});
  CHECK(val.found(Defect::kLeak) == Names{"2.png (id 2) = 1.png (id 1) there"});
  CHECK(val.found(Defect::kStrangeCategory) == Names{"2 \"nut\""});
  CHECK(val.found(Defect::kUnusedClass) == Names{"nut"});
  CHECK(train.faults() == 0);
}

TEST_CASE("data check: a class of which there are crowd regions alone has no objects") {
  const TemporaryFolder folder;
  CocoDataset dataset = write_set(folder, 1);
  dataset.annotations[0].iscrowd = true;
  const DataCheck check(std::move(dataset));
  CHECK(check.found(Defect::kUnusedClass) == Names{"bolt"});
  CHECK(check.found(Defect::kNoObject) == Names{"set.json: 1 pictures, 1 annotations"});
}

TEST_CASE("data check: an empty set, which training refuses, is a fault") {
  CHECK(DataCheck(CocoDataset{.name = "set.json"}).found(Defect::kNoObject) ==
        Names{"set.json: 0 pictures, 0 annotations"});
}

}  // namespace tessera
