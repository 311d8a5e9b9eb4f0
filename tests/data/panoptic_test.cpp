#include "data/panoptic.h"

#include <doctest/doctest.h>

#include "data/coco_source.h"
#include "tensor/file.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

// Two pictures of 2 x 3: in the first a dog (an id of three bytes) beside grass, a pixel of void and one of a crowd of
// dogs; nothing in the second. Stuff has the smaller id.
class Files {
 public:
  Files() {
    fs::create_directory(folder_ / "set");
    const std::vector<u8> d = {1, 2, 3}, g = {7, 0, 0}, c = {0, 1, 0}, v = {0, 0, 0};
    std::vector<u8> samples;
    for (const std::vector<u8>& pixel : {d, g, g, d, v, c}) samples.insert(samples.end(), pixel.begin(), pixel.end());
    write_file(folder_ / "set/a.png", test::png_bytes(2, 3, 2, 8, samples));
    write_file(folder_ / "set/b.png", test::png_bytes(2, 3, 2, 8, std::vector<u8>(18, 0)));
    for (const char* name : {"a.jpg", "b.jpg"}) write_file(folder_ / name, test::jpeg_bytes(picture_));
    write(R"([{"image_id": 5, "file_name": "a.png", "segments_info": [
      {"id": 197121, "category_id": 18, "iscrowd": 0, "area": 2, "bbox": [0, 0, 1, 2], "more": null},
      {"id": 7, "category_id": 2, "iscrowd": 0, "area": 2, "bbox": [1, 0, 2, 1]},
      {"id": 256, "category_id": 18, "iscrowd": 1, "area": 1, "bbox": [2, 1, 1, 1]}]},
      {"image_id": 6, "file_name": "b.png", "segments_info": []}])");
  }
  void write(const std::string& annotations) {
    write_file(json(), R"({"annotations": )" + annotations + R"(,
      "images": [{"id": 5, "file_name": "a.jpg", "height": 2, "width": 3},
                 {"id": 6, "file_name": "b.jpg", "height": 2, "width": 3}],
      "categories": [{"id": 2, "name": "grass", "isthing": 0}, {"id": 18, "name": "dog", "isthing": 1}]})");
  }
  fs::path json() const { return folder_ / "set.json"; }
  fs::path folder() const { return folder_.path(); }

 private:
  test::TemporaryFolder folder_;
  Tensor picture_ = Tensor::full({2, 3, 3}, 128, DType::kU8);
};

TEST_CASE("panoptic: a file and its folder are a data set with an object per segment, things before stuff") {
  const Files files;
  CHECK(is_panoptic(files.json()));
  CHECK(!is_panoptic(files.folder()));
  CHECK(!is_panoptic(files.folder() / "a.jpg"));
  const CocoDataset dataset = load_panoptic_dataset(files.json());
  CHECK(is_panoptic(dataset));
  REQUIRE(dataset.annotations.size() == 3);
  CHECK(dataset.class_index.at(18) == 0);
  CHECK(dataset.class_index.at(2) == 1);
  const CocoAnnotation &dog = dataset.annotations[0], &grass = dataset.annotations[1], &crowd = dataset.annotations[2];
  CHECK(annotation_mask(dog, 2, 3) == Rle{2, 3, {0, 2, 4}});
  CHECK(annotation_mask(grass, 2, 3) == Rle{2, 3, {2, 1, 1, 1, 1}});
  CHECK(annotation_mask(crowd, 2, 3) == Rle{2, 3, {5, 1}});
  CHECK(*dog.area == 2);
  CHECK(*grass.bbox == XywhBox{1, 0, 2, 1});
  CHECK(crowd.iscrowd);
  CHECK(dataset.annotations[2].id == 3);
  CHECK(dataset.annotations_of[1].empty());
}

TEST_CASE("panoptic: a file is a list of images as well") {
  const Files files;
  CHECK(load_image_list(files.json()).images[1].file_name == "b.jpg");
  CHECK(load_image_list(files.json()).annotations.size() == 3);
}

TEST_CASE("panoptic: saved as a file of instances it keeps its masks and the order of its classes") {
  const Files files;
  const CocoDataset dataset = load_panoptic_dataset(files.json());
  save_coco(files.folder() / "instances.json", dataset);
  const CocoDataset instances = load_coco(files.folder() / "instances.json");
  CHECK(!is_panoptic(instances));
  CHECK(instances.class_index.at(2) == 1);
  for (size_t i = 0; i < 3; ++i)
    CHECK(std::get<Rle>(instances.annotations[i].segmentation) == annotation_mask(dataset.annotations[i], 2, 3));
  CHECK(dataset.annotations[0].segmentation == load_panoptic_dataset(files.json()).annotations[0].segmentation);
  CHECK(dataset.annotations[0].segmentation != dataset.annotations[1].segmentation);
}

TEST_CASE("panoptic: segments are targets of training, crowds and those without a pixel are left out and told") {
  Files files;
  files.write(R"([{"image_id": 5, "file_name": "a.png", "segments_info": [
      {"id": 197121, "category_id": 18, "area": 2, "bbox": [0, 0, 1, 2]}, {"id": 7, "category_id": 2},
      {"id": 8, "category_id": 2}, {"id": 256, "category_id": 18, "iscrowd": 1}]}])");
  const CocoSource source(std::make_shared<const CocoDataset>(load_panoptic_dataset(files.json())), files.folder(),
                          {.shortest = 4, .longest = 6});
  CHECK(source.left_out().find("1 crowd regions (annotation 4), 1 with an empty mask") != std::string::npos);
  CHECK(source.boxes_of_masks().count == 1);
  const Sample sample = source.load(0, 0);
  REQUIRE(sample.targets.count() == 2);
  CHECK(sample.targets.classes.data<i64>()[0] == 0);
  CHECK(sample.targets.classes.data<i64>()[1] == 1);
  const Tensor grass = sample.targets.masks.rows(1, 2);
  const std::vector<u8> expected = {0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(std::ranges::equal(grass.span<u8>(), expected));
}

TEST_CASE("panoptic: PNGs that are missing, damaged or of another size are told at once, before anything is trained") {
  const Files files;
  fs::remove(files.folder() / "set/b.png");
  CHECK_ERROR(load_panoptic_dataset(files.json()), "set.json: 1 of the 2 PNGs of segments in");
  CHECK_ERROR(load_panoptic_dataset(files.json()), "set do not exist (b.png)");
  write_file(files.folder() / "set/b.png", "no picture");
  CHECK_ERROR(load_panoptic_dataset(files.json()), "cannot be read");
  save_segments(files.folder() / "set/b.png", {3, 2}, {});
  CHECK_ERROR(load_panoptic_dataset(files.json()), "have another size than their image (b.png)");
}

TEST_CASE("panoptic: a malformed JSON is an error that names the entry") {
  Files files;
  const auto check = [&](const std::string& annotations, const std::string& message) {
    files.write(annotations);
    CHECK_ERROR(load_panoptic_dataset(files.json()), message);
  };
  check(R"([{"image_id": 5, "file_name": "a.png"}])", "annotations[0]: there is no \"segments_info\"; is this a COCO");
  check(R"([{"file_name": "a.png", "segments_info": []}])", "annotations[0]: there is no \"image_id\"");
  check(R"([{"image_id": 5, "segments_info": []}])", "there is no \"file_name\"");
  check(R"([{"image_id": 5, "file_name": "a.png", "segments_info": [{"id": 3}]}])",
        "annotations[0]: segments_info[0]: there is no \"category_id\"");
  check(R"([{"image_id": 5, "file_name": "a.png", "segments_info": [{"id": 0, "category_id": 2}]}])",
        "segments_info[0]: the id 0 is not one of a PNG");
  check(R"([{"image_id": 5, "file_name": "a.png", "segments_info": [{"id": 16777216, "category_id": 2}]}])",
        "the id 16777216 is not one of a PNG");
  const std::string twice = R"({"id": 3, "category_id": 2})", entry = R"({"image_id": 5, "file_name": "a.png",
      "segments_info": []})";
  check(R"([{"image_id": 5, "file_name": "a.png", "segments_info": [)" + twice + "," + twice + "]}]",
        "segments_info[1]: the id 3 occurs twice");
  check("[" + entry + "," + entry + "]", "image 5 is annotated twice");
  check(R"([{"image_id": 9, "file_name": "a.png", "segments_info": [{"id": 3, "category_id": 2}]}])",
        "there is no image 9");
  write_file(files.json(), R"({"annotations": []})");
  CHECK_ERROR(load_panoptic_dataset(files.json()), "is this a file of annotations, not of results?");
  write_file(files.json(), "{}");
  CHECK_ERROR(load_panoptic(files.json()), "there is no \"annotations\"");
}

TEST_CASE("panoptic: numbers are read of RGB alone") {
  const Files files;
  const fs::path png = files.folder() / "x.png";
  write_file(png, test::png_bytes(1, 1, 6, 8, {1, 2, 0, 255}));
  CHECK(load_segments(png)[0].value == 513);  // alpha is dropped
  write_file(png, test::png_bytes(1, 1, 0, 8, {1}));
  CHECK_ERROR(load_segments(png), "an RGB PNG of 8 bits is expected, this one has grey of 8 bits");
  write_file(png, test::png_bytes(1, 1, 2, 16, {1, 2, 0, 255, 0, 0}));
  CHECK_ERROR(load_segments(png), "this one has colours of 16 bits");
  CHECK_ERROR(load_segments(files.folder() / "a.jpg"), "a colour PNG is expected, this is a JPEG");
}

TEST_CASE("panoptic: what is written is read back, and segments that share a pixel are an error") {
  const Files files;
  PanopticFile file = load_panoptic(files.json());
  file.name = (files.folder() / "copy.json").string();
  save_panoptic(file);
  const PanopticFile copy = load_panoptic(file.name);
  REQUIRE(copy.pictures.size() == 2);
  CHECK(copy.folder == files.folder() / "copy");
  CHECK(copy.images[1].file_name == "b.jpg");
  CHECK(!copy.categories[0].isthing);
  CHECK(copy.pictures[0].png == "a.png");
  CHECK(copy.pictures[0].segments[0].id == 197121);
  CHECK(copy.pictures[0].segments[2].iscrowd);
  CHECK(*copy.pictures[0].segments[1].bbox == XywhBox{1, 0, 2, 1});

  const fs::path png = files.folder() / "x.png";
  std::vector<Rle> masks(300, Rle{20, 20, {400}});
  masks[299] = {20, 20, {3, 2, 395}};
  masks[0] = {20, 20, {0, 2, 398}};
  save_segments(png, {20, 20}, masks);
  const std::vector<LabelRegion> regions = load_segments(png);
  REQUIRE(regions.size() == 3);
  CHECK(regions[1].mask == masks[0]);
  CHECK(regions[2].value == 300);
  CHECK(regions[2].mask == masks[299]);
  masks[1] = {20, 20, {1, 1, 398}};
  CHECK_ERROR(save_segments(png, {20, 20}, masks), "segments 1 and 2 share the pixel x 0, y 1");
  CHECK_ERROR(save_segments(png, {20, 19}, masks), "segment 1 is 20 x 20 (height x width), its picture 20 x 19");
}

}  // namespace
}  // namespace tessera
