#include "data/coco.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <limits>

#include "data/detection_list.h"
#include "data/rasterise.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

constexpr const char* kSmall = R"({
  "annotations": [
    {"segmentation": [[1, 1, 5, 1, 5, 4.5, 1, 4.5], [6, 6, 8, 6, 8, 8]], "extra": {"deep": [[[{}]]]}, "area": 14.0,
     "iscrowd": 0, "image_id": 7, "bbox": [1, 1, 7, 7], "category_id": 18, "id": 100},
    {"id": 101, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2], "area": 3, "iscrowd": 1,
     "segmentation": {"counts": [0, 2, 8, 1, 89], "size": [10, 10]}},
    {"id": 102, "image_id": 3, "category_id": 3, "bbox": [0, 0, 2, 2], "area": 3,
     "segmentation": {"size": [2, 3], "counts": "132"}},
    {"id": 103.0, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2], "area": 3, "iscrowd": 0, "segmentation": []}],
  "info": null,
  "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "c\u00e4r \"x\""}],
  "images": [{"id": 7, "file_name": "a/b\\c.jpg", "height": 10, "width": 10}, {"width": 3, "height": 2, "id": 3, "file_name": ""}]
})";

std::vector<Detection> load(const std::filesystem::path& path) {
  std::vector<Detection> detections;
  for (const DetectionView& d : load_detections(path)) {
    detections.push_back({d.image_id, d.category_id, d.score, d.bbox, std::nullopt});
    if (const auto& mask = d.segmentation)
      detections.back().segmentation = {mask->height, mask->width, {mask->counts.begin(), mask->counts.end()}};
  }
  return detections;
}

struct Files {
  test::TemporaryFolder folder;
  std::filesystem::path write(const std::string& text) {
    const std::filesystem::path path = folder / "file.json";
    write_file(path, text);
    return path;
  }
  CocoDataset coco(const std::string& text) { return load_coco(write(text)); }
  std::vector<Detection> results(const std::string& text) { return load(write(text)); }
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("coco: a file with keys in any order is read and indexed") {
  Files files;
  const CocoDataset dataset = files.coco(kSmall);
  REQUIRE(dataset.images.size() == 2);
  CHECK(dataset.images[0].file_name == "a/b\\c.jpg");
  CHECK(dataset.categories[0].name == "c\u00e4r \"x\"");
  CHECK(dataset.class_index.at(3) == 0);
  CHECK(dataset.class_index.at(18) == 1);
  CHECK(dataset.image_index.at(3) == 1);
  CHECK(dataset.annotations_of[0] == std::vector<i64>{0, 1, 3});
  CHECK(dataset.annotations_of[1] == std::vector<i64>{2});
  CHECK(std::get<Polygons>(dataset.annotations[0].segmentation)[0][5] == 4.5);
  CHECK(dataset.annotations[1].iscrowd);
  CHECK(std::get<Rle>(dataset.annotations[1].segmentation) == Rle{10, 10, {0, 2, 8, 1, 89}});
  CHECK(std::get<Rle>(dataset.annotations[2].segmentation) == Rle{2, 3, {1, 3, 2}});
  CHECK(dataset.annotations[3].id == 103);
  CHECK(std::holds_alternative<std::monostate>(dataset.annotations[3].segmentation));
}

TEST_CASE("coco: an annotation's mask is the union of its parts, or its runs") {
  Files files;
  const CocoDataset dataset = files.coco(kSmall);
  const Rle mask = annotation_mask(dataset.annotations[0], 10, 10);
  CHECK(mask == rasterise_polygons(std::get<Polygons>(dataset.annotations[0].segmentation), 10, 10));
  CHECK(annotation_mask(dataset.annotations[2], 2, 3) == Rle{2, 3, {1, 3, 2}});
  CHECK_ERROR(annotation_mask(dataset.annotations[2], 3, 2), "annotation 102: its run-length mask is 2 x 3");
  CHECK_ERROR(annotation_mask(dataset.annotations[3], 10, 10), "annotation 103: it has no segmentation");
}

TEST_CASE("coco: what is saved is read back the same") {
  Files files;
  const CocoDataset first = files.coco(kSmall);
  save_coco(files.folder / "saved.json", first);
  const CocoDataset second = load_coco(files.folder / "saved.json");
  REQUIRE(second.images.size() == first.images.size());
  REQUIRE(second.annotations.size() == first.annotations.size());
  CHECK(second.images[0].file_name == first.images[0].file_name);
  CHECK(second.categories[0].name == first.categories[0].name);
  for (size_t i = 0; i < first.annotations.size(); ++i) {
    const CocoAnnotation &a = first.annotations[i], &b = second.annotations[i];
    CHECK(a.id == b.id);
    CHECK(a.image_id == b.image_id);
    CHECK(a.category_id == b.category_id);
    CHECK(a.bbox == b.bbox);
    CHECK(a.area == b.area);
    CHECK(a.iscrowd == b.iscrowd);
    CHECK(a.segmentation == b.segmentation);
  }
}

TEST_CASE("coco: an image list may have images alone, an annotation file may not") {
  Files files;
  const auto path =
      files.write(R"({"info": {}, "images": [{"id": 7, "file_name": "a.jpg", "height": 10, "width": 10}]})");
  const CocoDataset list = load_image_list(path);
  CHECK(list.images.size() == 1);
  CHECK(list.annotations_of.size() == 1);
  CHECK_ERROR(load_coco(path), "there is no \"annotations\": an image list, as of a test set, can be predicted on");
  CHECK_ERROR(load_image_list(files.write("{}")), "there is no \"images\"");
  CHECK(load_image_list(files.write(kSmall)).annotations.size() == 4);
}

TEST_CASE("coco: broken annotation files are errors that say where") {
  Files files;
  CHECK_ERROR(load_coco(files.folder / "absent.json"), "absent.json");
  CHECK_ERROR(load_coco(files.folder.path()), "not a regular file");
  CHECK_ERROR(files.coco(""), "empty");
  CHECK_ERROR(files.coco("[]"), "file.json");
  CHECK_ERROR(files.coco("{}"), "there is no \"images\"");
  CHECK_ERROR(files.coco("\xff\xfe{}"), "file.json: it is in UTF-16");
  CHECK_ERROR(files.coco(std::string(kSmall) + "{}"), "file.json");
  CHECK_ERROR(files.coco(R"({"images": {}, "categories": [], "annotations": []})"), "images");
  const std::string text = kSmall;
  for (size_t n = 1; n < text.size(); n += 7) CHECK_ERROR(files.coco(text.substr(0, n)), "file.json");

  auto broken = [&](const char* from, const char* to) { files.coco(replaced(kSmall, from, to)); };
  CHECK_ERROR(broken("\"image_id\": 7, \"bbox\"", "\"bbox\""),
              "file.json: annotations[0] (id 100): there is no \"image_id\"");
  CHECK_ERROR(broken("\"id\": 101,", ""), "annotations[1]: there is no \"id\"");
  CHECK_ERROR(broken("\"id\": 100", "\"id\": 100.5"), "id: an integer is expected");
  CHECK_ERROR(broken("\"id\": 100", "\"id\": 123456789012345678901234567890"), "id: an integer is expected");
  CHECK_ERROR(broken("\"id\": 100", "\"id\": 101"), "annotation id 101 occurs twice");
  CHECK_ERROR(broken("\"image_id\": 3", "\"image_id\": 4"), "annotation 102: there is no image 4");
  CHECK_ERROR(broken("\"category_id\": 18", "\"category_id\": 1"), "annotation 100: there is no category 1");
  CHECK_ERROR(broken("{\"id\": 18", "{\"id\": 3"), "category id 3 occurs twice");
  CHECK_ERROR(broken("\"id\": 3, \"file_name\"", "\"id\": 7, \"file_name\""), "image id 7 occurs twice");
  CHECK_ERROR(broken("\"iscrowd\": 1", "\"iscrowd\": 2"), "iscrowd: 0, 1, true or false is expected, not 2");
  CHECK_ERROR(broken("\"image_id\": 3", "\"image_id\": \"3\""),
              "annotations[2] (id 102): image_id: an integer is expected, not the string \"3\"");
  CHECK_ERROR(broken("\"id\": 101", "\"id\": null"), "annotations[1]: id: an integer is expected, not null");
  CHECK_ERROR(broken("{\"id\": 18", "{\"id\": []"), "categories[0]: id: an integer is expected, not a list");
}

TEST_CASE("coco: iscrowd and ignore may be numbers, true and false, null, or absent") {
  Files files;
  for (const char* yes : {"1", "1.0", "true"}) {
    const CocoDataset dataset =
        files.coco(replaced(kSmall, "\"iscrowd\": 1", fmt::format("\"ignore\": {0}, \"iscrowd\": {0}", yes)));
    CHECK(dataset.annotations[1].iscrowd);
    CHECK(dataset.annotations[1].ignore);
  }
  for (const char* no : {"0", "0.0", "false", "null"}) {
    const CocoDataset dataset =
        files.coco(replaced(kSmall, "\"iscrowd\": 1", fmt::format("\"ignore\": {0}, \"iscrowd\": {0}", no)));
    CHECK(!dataset.annotations[1].iscrowd);
    CHECK(!dataset.annotations[1].ignore);
  }
  CHECK(!files.coco(replaced(kSmall, "\"iscrowd\": 1,", "")).annotations[1].iscrowd);
  CHECK_ERROR(files.coco(replaced(kSmall, "\"iscrowd\": 1", "\"iscrowd\": \"0\"")),
              "annotations[1] (id 101): iscrowd: 0, 1, true or false is expected, not the string \"0\"");
}

TEST_CASE("coco: names, sizes of images and what only LVIS has are judged by nobody who does not need them") {
  Files files;
  for (const char* size : {"\"height\": -1", "\"height\": null", "\"height\": \"10\"", "\"h\": 10"})
    CHECK(!files.coco(replaced(kSmall, "\"height\": 10", size)).images[0].has_size());
  CHECK(files.coco(replaced(kSmall, "\"file_name\": \"\"", "\"file_name\": 5")).images[1].file_name.empty());
  CHECK(files.coco(replaced(kSmall, "\"name\": \"dog\"", "\"name\": null")).categories[1].name == "18");
  CHECK(files.coco(replaced(kSmall, "\"name\": \"dog\"", "\"synset\": 4, \"frequency\": 17")).categories[1].frequency ==
        0);
}

TEST_CASE("coco: an annotation may lack its box and its area, also when it is written") {
  Files files;
  std::string text = replaced(kSmall, "\"bbox\": [1, 1, 7, 7],", "");
  text = replaced(text, "\"bbox\": [0, 0, 2, 2]", "\"bbox\": null");
  text = replaced(text, "\"bbox\": [0, 0, 2, 2]", "\"bbox\": [1, NaN, 2]");
  text = replaced(text, "\"area\": 14.0,", "");
  text = replaced(text, "\"area\": 3", "\"area\": NaN");
  save_coco(files.folder / "copy.json", files.coco(text));
  for (const CocoDataset& dataset : {files.coco(text), load_coco(files.folder / "copy.json")}) {
    for (size_t i = 0; i < 3; ++i) CHECK(!dataset.annotations[i].bbox);
    CHECK(dataset.annotations[3].bbox == XywhBox{0, 0, 2, 2});
    for (size_t i = 0; i < 2; ++i) CHECK(!dataset.annotations[i].area);
    CHECK(dataset.annotations[2].area == 3.0);
  }
}

TEST_CASE("coco: every way to write no segmentation is none") {
  Files files;
  for (const char* none : {"null", "[]", "{}", "\"\"", "[ ]"}) {
    const CocoDataset dataset =
        files.coco(replaced(kSmall, "\"segmentation\": []", fmt::format("\"segmentation\": {}", none)));
    CHECK_ERROR(check_mask(dataset, 3), "file.json: annotations[3] (id 103): it has no segmentation");
    CHECK(std::holds_alternative<std::monostate>(dataset.annotations[3].segmentation));
  }
}

TEST_CASE("coco: segmentations that describe no mask are errors where the mask is needed, and name the annotation") {
  Files files;
  const auto broken = [&](const std::string& from, const std::string& to, const std::string& message) {
    const CocoDataset dataset = files.coco(replaced(kSmall, from, to));
    i64 faults = 0;
    for (size_t i = 0; i < 3; ++i) {
      try {
        check_mask(dataset, static_cast<i64>(i));
      } catch (const Error& error) {
        ++faults;
        INFO(std::string(error.what()));
        CHECK(std::string(error.what()).find(message) != std::string::npos);
        CHECK(std::string(error.what()).find(fmt::format("file.json: annotations[{}] (id {}): ", i, 100 + i)) !=
              std::string::npos);
      }
    }
    CHECK(faults > 0);
  };
  const std::string polygon = "[1, 1, 5, 1, 5, 4.5, 1, 4.5]", runs = "[0, 2, 8, 1, 89]", size = "\"size\": [10, 10]";
  broken(polygon, "[1, 1, 5, 1]", "(id 100): polygon: the first part has 4 numbers, as a box has");
  broken(polygon, "[]", "(id 100): polygon: the first part has 0 numbers");
  broken(polygon, "1", "(id 100): segmentation[0]: a polygon [x, y, x, y, ...] is expected, not 1");
  broken(polygon, "[1, 1, null, 1, 5, 4.5]", "(id 100): segmentation[0][2]: a finite number is expected, not null");
  broken(polygon, "[1, 1, NaN, 1, 5, 4.5]", "segmentation[0][2]: a finite number is expected, not NaN (Python");
  broken(polygon, "[1, 1, 5e7, 1, 5, 4.5]", "(id 100): polygon: coordinate 50000000 is out of range");
  broken(polygon + ", [6, 6, 8, 6, 8, 8]", "\"1 2\"", "segmentation[0]: a polygon [x, y, x, y, ...] is expected");
  broken("[" + polygon + ", [6, 6, 8, 6, 8, 8]]", "7", "(id 100): segmentation: a list [...] is expected, not 7");
  broken("\"height\": 10", "\"height\": -1",
         "(id 100): a mask made of polygons needs \"height\" and \"width\" of image 7");
  broken("\"height\": 10", "\"height\": 3000000000", "3000000000 x 10");
  broken("\"height\": 10", "\"height\": 12",
         "(id 101): its run-length mask is 10 x 10 (height x width), its image 12 x 10");
  broken(runs, "[0, 2, 8, 1, 88]", "(id 101): segmentation: rle: 5 runs add up to 99");
  broken(runs, "[0, -2, 8, 1, 93]", "(id 101): segmentation: rle: a run of -2");
  broken(runs, "[0, 4294967396]", "(id 101): segmentation: rle: a run of 4294967396");
  broken(runs, "null", "segmentation: counts: runs [...] or their compressed string is expected, not null");
  broken(size, "\"size\": [5, 20]", "(id 101): its run-length mask is 5 x 20");
  broken(size, "\"size\": [10]", "(id 101): segmentation: rle: \"size\"");
  broken(", " + size, "", "(id 101): segmentation: rle: \"size\"");
  broken("\"counts\": \"132\"", "\"count\": \"132\"", "(id 102): segmentation: rle: there is no \"counts\"");
  broken("\"132\"", "\"1P\"", "(id 102): segmentation: rle: the string of 2 characters ends inside a number");
  broken("\"size\": [2, 3]", "\"size\": [1000000000, 1000000000]", "(id 102): segmentation: mask: a size of");
}

TEST_CASE("coco: masks of runs need no size of their image") {
  Files files;
  const CocoDataset dataset = files.coco(replaced(kSmall, "\"width\": 3, \"height\": 2, ", ""));
  check_mask(dataset, 2);
  CHECK(annotation_mask(dataset.annotations[2], dataset.images[1].height, dataset.images[1].width).width == 3);
}

TEST_CASE("coco: a bad mask is not written") {
  Files files;
  const CocoDataset dataset = files.coco(replaced(kSmall, "[0, 2, 8, 1, 89]", "[0, 2, 8, 1, 88]"));
  CHECK_ERROR(save_coco(files.folder / "copy.json", dataset), "copy.json: annotation 101: segmentation: rle");
}

TEST_CASE("coco: a file of nested brackets or a huge nothing is read without harm") {
  Files files;
  const std::string deep(100000, '[');
  CHECK_ERROR(files.coco(deep), "file.json");
  CHECK_ERROR(files.coco("{\"annotations\": " + deep + std::string(100000, ']') + "}"), "file.json");
  CHECK(files
            .coco("{\"x\": " + deep + std::string(100000, ']') +
                  ", \"images\": [], \"categories\": [], \"annotations\": []}")
            .images.empty());
}

TEST_CASE("coco: results keep every digit through a file") {
  Files files;
  Rle mask = rasterise_box({3, 4, 30, 20}, 60, 44);
  std::vector<Detection> detections = {{1, 2, 0.1 + 0.2, XywhBox{1.0 / 3, 2, 1e-7, 1e20}, std::nullopt},
                                       {-1, 90, 5e-324, std::nullopt, mask},
                                       {3, 1, 1, XywhBox{0, 0, 1, 1}, mask}};
  const std::filesystem::path path = files.folder / "results.json";
  save_results(path, detections);
  const std::vector<Detection> read = load(path);
  REQUIRE(read.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(read[i].image_id == detections[i].image_id);
    CHECK(read[i].category_id == detections[i].category_id);
    CHECK(read[i].score == detections[i].score);
    CHECK(read[i].bbox == detections[i].bbox);
    CHECK(read[i].segmentation == detections[i].segmentation);
  }
  save_results(path, {});
  CHECK(load(path).empty());
}

TEST_CASE("coco: a backslash in a run-length string survives the JSON") {
  Files files;
  // Run 1 is 76 = 12 + 2 * 32: its first group is 12 + 32 + 48 = 92, a backslash.
  const Rle mask{10, 10, {0, 76, 24}};
  CHECK(rle_to_string(mask) == "0\\2h0");
  save_results(files.folder / "r.json", {{1, 1, 0.5, std::nullopt, mask}});
  CHECK(load(files.folder / "r.json")[0].segmentation == mask);
  CHECK(files
            .results(R"([{"image_id": 1, "category_id": 1, "score": 1,
      "segmentation": {"size": [10, 10], "counts": "0\u005c2h0"}}])")[0]
            .segmentation == mask);
}

TEST_CASE("coco: a failed save leaves the file that was there") {
  Files files;
  const std::filesystem::path path = files.folder / "results.json";
  save_results(path, {});
  const std::string before = read_file(path);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_ERROR(save_results(path, {{1, 2, nan, XywhBox{}, std::nullopt}}), "result 0: json: nan cannot be written");
  CHECK_ERROR(save_results(path, {{1, 2, 0.5, std::nullopt, std::nullopt}}), "neither a box nor a mask");
  CHECK_ERROR(save_results(path, {{1, 2, 0.5, std::nullopt, Rle{2, 2, {5}}}}), "add up to 5");
  CocoDataset dataset;
  dataset.images = {{1, "\xff", 2, 2}};
  CHECK_ERROR(save_coco(path, dataset), "UTF-8");
  CHECK(read_file(path) == before);
}

TEST_CASE("coco: a result file of several megabytes is read in pieces, and errors still count from its front") {
  Files files;
  std::vector<std::string> entries;
  for (int i = 0; i < 40000; ++i)
    entries.push_back(
        fmt::format(R"({{"image_id": {}, "category_id": 2, "score": 0.5, "bbox": [0, 0, 1, {}]}})", i, i));
  const auto path = [&] { return files.write(fmt::format("[{}]", fmt::join(entries, ",\n "))); };
  const DetectionList list = load_detections(path());
  REQUIRE(list.size() == entries.size());
  size_t wrong = 0;
  for (size_t i = 0; i < list.size(); ++i)
    wrong += list[i].image_id != static_cast<i64>(i) || (*list[i].bbox)[3] != static_cast<double>(i);
  CHECK(wrong == 0);
  std::string note;  // looks like the border between two elements, and is long enough to be cut
  for (int i = 0; i < 1000000; ++i) note += "},{";
  entries[17].insert(1, "\"note\": \"" + note + "\", ");
  CHECK(load_detections(path()).size() == entries.size());
  entries[39000] = R"({"image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]})";
  CHECK_ERROR(load_detections(path()), "file.json: [39000]: there is no \"score\"");
  entries[39000] = "{}], [{}";
  CHECK_ERROR(load_detections(path()), "file.json: line 39001, column 5 (byte");
  entries[39000] = "{}]";
  CHECK_ERROR(load_detections(path()), "file.json: line 39001, column 5 (byte");
}

TEST_CASE("coco: a list of detections holds only masks whose runs add up") {
  const std::vector<Detection> good = {{1, 2, 0.5, std::nullopt, Rle{2, 2, {1, 3}}}};
  const DetectionList list = good;
  CHECK(list[0].segmentation->counts.data() == good[0].segmentation->counts.data());
  const std::vector<Detection> bad = {good[0], {7, 2, 0.5, std::nullopt, Rle{2, 2, {5}}}};
  CHECK_ERROR(DetectionList{bad}, "result 1 (image 7): rle: 1 runs add up to 5");
}

TEST_CASE("coco: what LVIS files say in addition is read and written") {
  Files files;
  const auto read = [&](const std::string& image) {
    return files.coco(R"({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2], "area": 3,
        "ignore": 1, "segmentation": [[1, 1, 5, 1, 5, 4.5]]}], "images": [{"id": 7, "height": 10, "width": 10, )" +
                      image +
                      R"(}], "categories": [{"id": 3, "name": "cow", "synset": "beef.n.01", "frequency": "c"}]})");
  };
  const std::string lists = R"("neg_category_ids": [4, 9], "not_exhaustive_category_ids": [3], )";
  const CocoDataset v1 = read(lists + R"("coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg")");
  CHECK(v1.images[0].file_name == "val2017/000000397133.jpg");
  CHECK(read(lists + R"("file_name": "COCO_val2014_000000266409.jpg")").images[0].file_name == "000000266409.jpg");
  CHECK(read(R"("file_name": "COCO_val2014_000000266409.jpg")").images[0].file_name == "COCO_val2014_000000266409.jpg");
  for (const char* url : {"\"name.jpg\"", "null", "7"})
    CHECK(read(lists + "\"coco_url\": " + url).images[0].file_name.empty());
  const std::filesystem::path copy = files.folder / "copy.json";
  save_coco(copy, v1);
  for (const CocoDataset& dataset : {v1, load_coco(copy)}) {
    CHECK(dataset.images[0].neg_category_ids == std::vector<i64>{4, 9});
    CHECK(dataset.images[0].not_exhaustive_category_ids == std::vector<i64>{3});
    CHECK(dataset.categories[0].synset == "beef.n.01");
    CHECK(dataset.categories[0].frequency == 'c');
    CHECK(dataset.annotations[0].ignore);
  }
}

TEST_CASE("coco: broken result files are errors that say where") {
  Files files;
  const std::string good = R"({"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [0, 0, 1, 1]})";
  auto second = [&](const std::string& entry) { files.results("[" + good + ", " + entry + "]"); };
  CHECK(files.results("[" + good + "]").size() == 1);
  CHECK_ERROR(files.results("{}"), "file.json: a list [...] is expected at the top of the file, not an object");
  CHECK_ERROR(files.results("{\"results\": [" + good + "]}"),
              "a list [...] is expected at the top of the file, not an object with \"results\"");
  CHECK_ERROR(files.results("[" + good), "file.json");
  CHECK_ERROR(files.results("[" + good + "] 5"), "file.json");
  CHECK_ERROR(second("5"), "file.json: [1]: an object {...} is expected, not 5");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]})"), "[1]: there is no \"score\"");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "score": NaN, "bbox": [0, 0, 1, 1]})"),
              "[1]: score: a finite number is expected, not NaN (Python");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "score": null, "bbox": [0, 0, 1, 1]})"),
              "[1]: score: a finite number is expected, not null");
  CHECK_ERROR(second(R"({"image_id": "1", "category_id": 2, "score": 1, "bbox": [0, 0, 1, 1]})"),
              "file.json: [1]: image_id: an integer is expected, not the string \"1\"");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "score": 1})"), "neither a \"bbox\" nor a \"segmentation\"");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "score": 1, "bbox": []})"), "neither a \"bbox\"");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "score": 1, "bbox": [1, 2, 3]})"),
              "[1]: bbox: [x, y, width, height] is expected");
  CHECK_ERROR(second(R"({"image_id": 1, "category_id": 2, "score": 1, "segmentation": [[1, 1, 2, 2, 3, 1]]})"),
              "[1]: segmentation: a run-length mask");
  CHECK_ERROR(
      second(R"({"image_id": 1, "category_id": 2, "score": 1, "segmentation": {"size": [2, 3], "counts": "13"}})"),
      "[1]: segmentation: rle: 2 runs add up to 4");
}

TEST_CASE("coco: a result's box and mask excuse each other, and say what they are where they are needed") {
  Files files;
  const std::string head = R"([{"image_id": 1, "category_id": 2, "score": 0.5, )", box = R"("bbox": [0, 0, 1, 1])",
                    mask = R"("segmentation": {"size": [1, 2], "counts": [0, 2]})";
  const auto first = [&](const std::string& rest) { return load_detections(files.write(head + rest + "}]")); };
  for (const char* bad : {"[]", "{}", "null", "\"\"", "[[1, 1, 2, 2, 3, 1]]", R"({"size": [2, 3], "counts": "13"})"}) {
    const DetectionList list = first(box + ", \"segmentation\": " + bad);
    CHECK(list[0].bbox == XywhBox{0, 0, 1, 1});
    CHECK(!list[0].segmentation);
    CHECK(list[0].bad_mask.starts_with("segmentation: "));
  }
  CHECK(first(box)[0].bad_mask.empty());
  for (const char* none : {"null", "[]"}) CHECK(!first(mask + ", \"bbox\": " + none)[0].bbox);
  for (const char* bad : {"[1, 2, 3]", "[1, 2, NaN, 3]", "\"1 2 3 4\"", "{}"})
    CHECK(!is_finite(*first(mask + ", \"bbox\": " + bad)[0].bbox));
}

}  // namespace
}  // namespace tessera
