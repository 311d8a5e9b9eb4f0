// tessera data stats, on a data set that is small enough to count by hand.
#include "data/coco.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

CocoAnnotation rectangle(i64 id, i64 image, XywhBox box, bool crowd = false) {
  const auto& [x, y, w, h] = box;
  return {.id = id,
          .image_id = image,
          .category_id = 1,
          .bbox = box,
          .iscrowd = crowd,
          .segmentation = Polygons{{x, y, x + w, y, x + w, y + h, x, y + h}}};
}

// Image 1: three objects around one place, and a crowd. Image 2, twice as wide as high: one object.
std::string write_annotations(const TemporaryFolder& folder, const std::string& name) {
  CocoDataset dataset;
  dataset.categories = {{1, "rectangle"}};
  dataset.images = {{1, "a.png", 100, 100}, {2, "b.png", 50, 100}};
  dataset.annotations = {rectangle(1, 1, {5, 5, 10, 10}), rectangle(2, 1, {5, 5, 10, 12}),
                         rectangle(3, 1, {5, 5, 10, 14}), rectangle(4, 1, {0, 0, 90, 90}, true),
                         rectangle(5, 2, {70, 30, 20, 10})};
  index_coco(dataset);
  save_coco(folder / name, dataset);
  return (folder / name).string();
}

std::string row(const std::string& text, const std::string& grid) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find(grid + " ") != std::string::npos) return line;
  return "";
}

}  // namespace

TEST_CASE("data stats: objects that find a cell are counted for each grid, crowds left out, with the mean side") {
  const TemporaryFolder folder;
  const std::string file = write_annotations(folder, "instances.json");
  const Outcome outcome = run({"data", "stats", "--annotations", file, "--size", "64", "--grid", "3x3", "3x6"});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.out.find("1 crowd regions (annotation 4)") != std::string::npos);
  CHECK(outcome.out.find("2 pictures, 4 objects, at most 3 in one; in a letterbox of 64 x 64") != std::string::npos);
  // Of image 1 the largest has its cell, the others go beside it.
  CHECK(row(outcome.out, "3 x 3") == "  3 x 3       9          50.0 %  100.0 %         0   [-1.07, -1.03]");
  CHECK(row(outcome.out, "3 x 6") == "  3 x 6      18          50.0 %  100.0 %         0   [-1.07, -0.34]");

  const Outcome squares = run({"data", "stats", "--annotations", file, file});
  CHECK(squares.out.find("4 pictures, 8 objects") != std::string::npos);
  CHECK(row(squares.out, "4 x 4") != "");
  CHECK(row(squares.out, "20 x 20") != "");
  CHECK(row(squares.out, "21 x 21") == "");
}

TEST_CASE("data stats: objects without a cell are counted, and a file without objects is an error that names it") {
  const TemporaryFolder folder;
  CocoDataset dataset;
  dataset.categories = {{1, "rectangle"}};
  dataset.images = {{1, "a.png", 90, 90}};
  for (i64 id = 1; id <= 5; ++id) dataset.annotations.push_back(rectangle(id, 1, {1, 1, 9, 9}));
  index_coco(dataset);
  save_coco(folder / "corner.json", dataset);
  const Outcome corner = run({"data", "stats", "--annotations", (folder / "corner.json").string()});
  CHECK(row(corner.out, "9 x 9").find("20.0 %   80.0 %         1 ") != std::string::npos);

  dataset.annotations.clear();
  index_coco(dataset);
  save_coco(folder / "none.json", dataset);
  const Outcome none = run({"data", "stats", "--annotations", (folder / "none.json").string()});
  CHECK(none.code == 1);
  CHECK(none.err.find("none.json: there is no object") != std::string::npos);
}

TEST_CASE("data stats: classes, sizes and what a model can find, as text, as JSON and as a page") {
  const TemporaryFolder folder;
  const std::string file = write_annotations(folder, "instances.json");
  const fs::path json = folder / "stats.json", page = folder / "stats.html";
  const Outcome outcome = succeeds(
      {"data", "stats", "--annotations", file, "--limit", "2", "--json", json.string(), "--page", page.string()});
  for (const char* part :
       {"2 pictures, 0 without objects; 4 objects of 1 classes; 1 crowd regions are not counted",
        "1 pictures have more than 2 objects (--limit): 1 objects cannot be found", "small (up to 32^2)"}) {
    CAPTURE(part);
    CHECK(outcome.out.find(part) != std::string::npos);
  }
  const nlohmann::json found = nlohmann::json::parse(read_file(json));
  CHECK(found["objects"] == 4);
  CHECK(found["classes"][0]["name"] == "rectangle");
  CHECK(found["limit"]["objects_above"] == 1);
  CHECK(found["sqrt_area"]["counts"][1] == 4);  // 100 to 200 pixels
  const std::string html = read_file(page);
  for (const char* part : {"id=\"classes\"", "rectangle: 4.", "class=\"bars heat-map\"", "log_side (mean)"}) {
    CAPTURE(part);
    CHECK(html.find(part) != std::string::npos);
  }

  write_file(folder / "few.toml", "[model]\nnum_masks = 3\nbackbone.kind = \"tiny\"\n");
  const Outcome enough = succeeds({"data", "stats", "--annotations", file, "--config", (folder / "few.toml").string()});
  CHECK(enough.out.find("no picture has more than 3 objects (model.num_masks)") != std::string::npos);
  check_fails({"data", "stats", "--annotations", file, "--json", file}, 1, "is read by this call");
}

}  // namespace tessera
