#include <doctest/doctest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "eval/panoptic_quality.h"
#include "eval/score.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr i64 kHeight = 48, kWidth = 64;
constexpr i64 kPerson = 1, kCar = 3, kGrass = 93, kSky = 119;  // two things, two kinds of stuff

struct Rectangle {
  i64 x, y, width, height;
};

// Annotations and results of pictures, all void at first; what is painted later lies over what is there.
class Scene {
 public:
  Scene() {
    truth_.name = (folder_->path() / "truth.json").string();
    found_.name = (folder_->path() / "found.json").string();
    truth_.categories = {{.id = kPerson, .name = "person"},
                         {.id = kCar, .name = "car"},
                         {.id = kGrass, .name = "grass", .isthing = false},
                         {.id = kSky, .name = "sky", .isthing = false}};
    found_.categories = truth_.categories;
    for (PanopticFile* file : {&truth_, &found_}) {
      file->folder = panoptic_folder(file->name);
      fs::create_directory(file->folder);
    }
    picture();
  }

  Scene& picture() {  // what follows belongs to another one
    const i64 id = static_cast<i64>(truth_.pictures.size()) + 1;
    for (PanopticFile* file : {&truth_, &found_}) {
      file->images.push_back({.id = id, .file_name = "a.jpg", .height = kHeight, .width = kWidth});
      file->pictures.push_back({.image_id = id, .png = fmt::format("{}.png", id)});
      save_segments(file->png_of(file->pictures.back()), {kHeight, kWidth}, {});
    }
    truth_map_ = Tensor::zeros({kHeight, kWidth}, DType::kI32);
    found_map_ = Tensor::zeros({kHeight, kWidth}, DType::kI32);
    return *this;
  }
  Scene& annotate(i64 category, Rectangle where, bool crowd = false, std::optional<double> area = std::nullopt) {
    paint(truth_, truth_map_, {.id = 0, .category_id = category, .iscrowd = crowd, .area = area}, where);
    return *this;
  }
  Scene& find(i64 category, Rectangle where) {
    paint(found_, found_map_, {.id = 0, .category_id = category}, where);
    return *this;
  }

  PanopticFile& truth() { return truth_; }
  PanopticFile& found() { return found_; }
  fs::path folder() const { return folder_->path(); }

  PanopticScores score(std::optional<double> ratio = std::nullopt) const {
    save_panoptic(truth_);
    save_panoptic(found_);
    const PanopticFile truth = load_panoptic(truth_.name);
    return evaluate_panoptic(truth, panoptic_result_file(truth, found_.name),
                             {.boundary_ratio = ratio, .progress = {}});
  }

 private:
  // The PNG is written anew with each segment; the area is what was painted, unless another is given.
  static void paint(PanopticFile& file, Tensor& map, PanopticSegment segment, Rectangle r) {
    PanopticPicture& picture = file.pictures.back();
    segment.id = static_cast<i64>(picture.segments.size()) + 1;
    if (!segment.area) segment.area = static_cast<double>(r.width * r.height);
    picture.segments.push_back(segment);
    for (i64 y = r.y; y < r.y + r.height; ++y)
      for (i64 x = r.x; x < r.x + r.width; ++x) map.data<i32>()[y * kWidth + x] = static_cast<i32>(segment.id);
    std::vector<Rle> masks;
    for (LabelRegion& region : regions_of(map))
      if (region.value > 0) masks.push_back(std::move(region.mask));
    save_segments(file.png_of(picture), {kHeight, kWidth}, masks);
  }

  std::shared_ptr<test::TemporaryFolder> folder_ = std::make_shared<test::TemporaryFolder>();
  PanopticFile truth_, found_;
  Tensor truth_map_, found_map_;
};

// Right, wrong and missed of person, car, grass or sky, and their overlaps.
void check(const PanopticScores& scores, i64 category, double iou, i64 right, i64 wrong, i64 missed) {
  const auto at = std::ranges::find(scores.categories, category, &CocoCategory::id) - scores.categories.begin();
  const PanopticCounts& counts = scores.counts[static_cast<size_t>(at)];
  INFO("category ", category);
  CHECK(counts.iou == doctest::Approx(iou).epsilon(1e-15));
  CHECK(std::vector{counts.right, counts.wrong, counts.missed} == std::vector{right, wrong, missed});
}

const Rectangle kHere = {0, 0, 20, 10}, kThere = {30, 0, 20, 10}, kBelow = {0, 20, 20, 10};

TEST_CASE("panoptic: who finds every segment has 1; another category is one wrong and one missed") {
  Scene scene = Scene().annotate(kPerson, kHere).find(kPerson, kHere).annotate(kSky, kBelow).find(kSky, kBelow);
  const PanopticScores all = scene.score();
  CHECK(all.all().pq == 1);
  CHECK(all.all().categories == 2);
  CHECK(all.things().categories == 1);
  CHECK(all.images == 1);
  CHECK(all.segments == 2);
  const PanopticScores scores = Scene().annotate(kPerson, kHere).find(kCar, kHere).score();
  check(scores, kPerson, 0, 0, 0, 1);
  check(scores, kCar, 0, 0, 1, 0);
}

TEST_CASE("panoptic: an overlap must be greater than one half") {
  const auto overlapping = [](i64 width) {  // a person without void around
    Scene scene = Scene().annotate(kPerson, kHere).annotate(kGrass, {0, 10, kWidth, 38});
    return scene.find(kPerson, {0, 0, width, 10}).score();
  };
  check(overlapping(10), kPerson, 0, 0, 1, 1);  // 100 of 200
  check(overlapping(11), kPerson, 110.0 / 200, 1, 0, 0);
}

TEST_CASE("panoptic: void leaves the union, and what lies in it for more than a half is not wrong") {
  check(Scene().annotate(kCar, {0, 0, 10, 10}).find(kCar, {0, 0, 10, 18}).score(), kCar, 1, 1, 0, 0);
  Scene most = Scene().annotate(kGrass, {0, 20, 10, 4}).find(kPerson, {0, 20, 10, 9});
  check(most.score(), kPerson, 0, 0, 0, 0);  // 50 of 90
  Scene half = Scene().annotate(kGrass, {0, 20, 10, 4}).find(kPerson, {0, 20, 10, 8});
  check(half.score(), kPerson, 0, 0, 1, 0);
}

TEST_CASE("panoptic: numbers of the annotations' PNG that their JSON does not have are no void") {
  Scene scene = Scene().annotate(kPerson, kHere).find(kCar, kHere);
  scene.truth().pictures[0].segments.clear();
  check(scene.score(), kCar, 0, 0, 1, 0);
}

TEST_CASE("panoptic: nobody misses a crowd, and what lies in the crowd of its category is not wrong") {
  Scene scene = Scene().annotate(kGrass, {0, 0, kWidth, kHeight}).annotate(kPerson, {0, 0, 40, 20}, true);
  scene.find(kPerson, {2, 2, 8, 8}).find(kCar, {14, 2, 8, 8});
  check(scene.score(), kPerson, 0, 0, 0, 0);
  check(scene.score(), kCar, 0, 0, 1, 0);  // the crowd is of persons
  // Crowd and void count together: 40 + 60 of 100.
  Scene both = Scene().annotate(kPerson, {0, 0, 40, 20}, true).find(kPerson, {24, 16, 10, 10});
  check(both.score(), kPerson, 0, 0, 0, 0);
  // A crowd is not found, however well it is covered; stuff has crowds too.
  Scene stuff = Scene().annotate(kSky, kHere, true).find(kSky, kHere);
  check(stuff.score(), kSky, 0, 0, 0, 0);
}

TEST_CASE("panoptic: of several crowds of a category the one that is listed last counts") {
  const Rectangle first = {0, 0, 16, 16}, last = {30, 0, 16, 16};
  Scene scene = Scene().annotate(kPerson, first, true).annotate(kPerson, last, true);
  scene.find(kPerson, {1, 1, 14, 14}).find(kPerson, {31, 1, 14, 7}).find(kPerson, {31, 8, 14, 7});
  check(scene.score(), kPerson, 0, 0, 1, 0);
}

TEST_CASE("panoptic: of several segments on one object, and of several objects under one segment, one matches") {
  Scene halves = Scene().annotate(kCar, {0, 0, 20, 20}).find(kCar, {0, 0, 20, 14}).find(kCar, {0, 14, 20, 6});
  check(halves.score(), kCar, 0.7, 1, 1, 0);
  Scene under = Scene().annotate(kCar, {0, 0, 20, 10}).annotate(kCar, {20, 0, 12, 10}).find(kCar, {0, 0, 32, 10});
  check(under.score(), kCar, 200.0 / 320, 1, 0, 1);
}

TEST_CASE("panoptic: the area of an annotated segment is the JSON's, of a found one its pixels") {
  Scene scene = Scene().annotate(kPerson, kHere, false, 300).find(kPerson, {0, 0, 16, 10});
  scene.annotate(kCar, kBelow, false, 400).find(kCar, kBelow);
  check(scene.score(), kPerson, 160.0 / 300, 1, 0, 0);
  check(scene.score(), kCar, 0, 0, 1, 1);  // 200 of 400
}

TEST_CASE("panoptic: means are over the categories that have anything, and PQ is not SQ times RQ of the means") {
  Scene scene = Scene().annotate(kPerson, kHere).find(kPerson, {0, 0, 15, 10}).annotate(kGrass, kBelow).picture();
  scene.annotate(kPerson, kHere).find(kPerson, kHere).annotate(kGrass, kBelow).find(kCar, kBelow);
  const PanopticScores scores = scene.score();
  check(scores, kPerson, 0.75 + 1, 2, 0, 0);
  const PanopticQuality things = scores.things(), stuff = scores.stuff(), all = scores.all();
  CHECK(things.categories == 2);  // a car is found wrongly
  CHECK(things.pq == doctest::Approx(0.875 / 2));
  CHECK(things.sq == doctest::Approx(0.875 / 2));
  CHECK(things.rq == doctest::Approx(0.5));
  CHECK(stuff.pq == 0);
  CHECK(stuff.categories == 1);
  CHECK(all.pq == doctest::Approx(0.875 / 3));
  CHECK(all.categories == 3);
}

TEST_CASE("panoptic: without annotations all is 0 of no category; nothing found misses everything") {
  const PanopticScores nothing = Scene().find(kPerson, kHere).score();
  CHECK(nothing.all().categories == 0);
  CHECK(nothing.all().pq == 0);
  const PanopticScores scores = Scene().annotate(kCar, kHere).annotate(kSky, kBelow).score();
  check(scores, kCar, 0, 0, 0, 1);
  check(scores, kSky, 0, 0, 0, 1);
  CHECK(scores.all().categories == 2);
}

TEST_CASE("panoptic: with boundaries the lesser overlap counts, areas stay those of the masks") {
  // A square of 20 moved by one pixel: the masks share 380 of 420, rims of one pixel 38 of 114.
  Scene scene = Scene().annotate(kGrass, {0, 0, kWidth, kHeight}).annotate(kCar, {10, 10, 20, 20});
  scene.find(kCar, {11, 10, 20, 20});
  check(scene.score(), kCar, 380.0 / 420, 1, 0, 0);
  check(scene.score(0.01), kCar, 0, 0, 1, 1);
  check(scene.score(0.5), kCar, 380.0 / 420, 1, 0, 0);  // so thick that all of it is boundary
  // Boundary pixels in void leave the union: all that is found lies in void or in the object.
  check(Scene().annotate(kCar, {0, 0, 10, 10}).find(kCar, {0, 0, 10, 18}).score(0.5), kCar, 1, 1, 0, 0);
}

TEST_CASE("panoptic: entries come in any order, the later one of a picture counts, other pictures are passed over") {
  Scene scene = Scene().annotate(kPerson, kHere).find(kCar, kHere).picture().annotate(kCar, kHere).find(kCar, kHere);
  PanopticFile& found = scene.found();
  PanopticPicture later = found.pictures[0], other = found.pictures[0];
  later.segments[0].category_id = kPerson;
  other.image_id = 99;
  other.png = "absent.png";
  found.pictures = {found.pictures[1], found.pictures[0], other, later};
  CHECK(scene.score().all().pq == 1);
}

TEST_CASE("panoptic: what does not fit together is an error that names file, picture and segment") {
  const auto refuse = [](const std::string& message, auto&& change) {
    Scene scene = Scene().annotate(kPerson, kHere).find(kPerson, kHere).find(kCar, kBelow);
    change(scene.truth(), scene.found());
    CHECK_ERROR(scene.score(), message);
  };
  using File = PanopticFile&;
  refuse("found.json: image 1 (1.png): segment 2 of the PNG is not in the \"segments_info\"",
         [](File, File found) { found.pictures[0].segments.pop_back(); });
  refuse("found.json: image 1 (1.png): segment 7 has no pixel in the PNG",
         [](File, File found) { found.pictures[0].segments.push_back({.id = 7, .category_id = kCar}); });
  refuse("found.json: image 1 (1.png): segment 2: there is no category 5 in",
         [](File, File found) { found.pictures[0].segments[1].category_id = 5; });
  refuse("found.json: 1 of the 1 pictures of", [](File, File found) { found.pictures[0].image_id = 3; });
  refuse("found/2.png: ", [](File, File found) { found.pictures[0].png = "2.png"; });
  refuse("its PNG is 3 x 4 (height x width), that of the annotations 48 x 64", [](File, File found) {
    save_segments(found.png_of(found.pictures[0]), {3, 4}, {});
  });
  refuse("truth.json: image 1 (1.png): segment 1: there is no category 5",
         [](File truth, File) { truth.pictures[0].segments[0].category_id = 5; });
  refuse("truth.json: image 1 (1.png): segment 1: an \"area\" is needed",
         [](File truth, File) { truth.pictures[0].segments[0].area.reset(); });
  refuse("truth.json: image 1 (1.png): segment 1: its \"area\" of 0 is less than what of it was found",
         [](File truth, File) { truth.pictures[0].segments[0].area = 0; });
  refuse("truth.json: there is no \"categories\"", [](File truth, File) { truth.categories.clear(); });
  refuse("category id 1 occurs twice", [](File truth, File) { truth.categories.push_back({.id = 1}); });
}

TEST_CASE("panoptic: the metric scores files and reports its progress; JSON has the names of panopticapi") {
  Scene scene = Scene().annotate(kPerson, kHere).find(kPerson, {0, 0, 15, 10}).find(kSky, kThere);
  const std::string table = panoptic_table(scene.score());
  CHECK(table.find("panoptic: 1 images, 2 segments\n") == 0);
  CHECK(table.find(" All                        75.0   75.0  100.0      1\n") != std::string::npos);
  CHECK(table.find(" person                     75.0   75.0  100.0      1      0      0\n") != std::string::npos);
  CHECK(table.find("car") == std::string::npos);
  ScoreRequest request{.annotations = scene.truth().name, .results = scene.found().name};
  i64 seen = 0;
  request.progress = [&](i64 done, i64 total) { seen = done * 10 + total; };
  const Score score = score_results("panoptic", request);
  CHECK(seen == 11);
  CHECK(score.text == table);
  CHECK(score.figures[0] == std::pair(std::string("PQ"), 0.75));
  const nlohmann::json json = nlohmann::json::parse(score.json);
  CHECK(json["All"] == nlohmann::json({{"pq", 0.75}, {"sq", 0.75}, {"rq", 1.0}, {"n", 1}}));
  CHECK(json["Stuff"]["n"] == 0);
  CHECK(json["per_class"]["3"] == nlohmann::json({{"pq", 0.0}, {"sq", 0.0}, {"rq", 0.0}}));
  CHECK(json["counts"] == nlohmann::json({{"1", {{"iou", 0.75}, {"tp", 1}, {"fp", 0}, {"fn", 0}}}}));
  request.ratio = 0.5;
  CHECK(score_results("panoptic-boundary", request).figures[0].second == 0.75);
  CHECK_ERROR(score_results("panoptic", request), "metric panoptic does not take --ratio");
  request.ratio = 3;
  CHECK_ERROR(score_results("panoptic-boundary", request), "the ratio must be 0 to 1");
}

TEST_CASE("panoptic: what a model found is judged as files are, unless its masks share pixels") {
  Scene scene = Scene().annotate(kPerson, kHere).find(kPerson, {0, 0, 15, 10});
  scene.annotate(kGrass, kBelow).find(kGrass, kBelow);
  scene.score();
  const Score of_files = score_results("panoptic", {.annotations = scene.truth().name, .results = scene.found().name});
  const CocoDataset truth = load_panoptic_dataset(scene.truth().name);
  const CocoDataset found = load_panoptic_dataset(scene.found().name);
  std::vector<Detection> detections;
  for (const CocoAnnotation& segment : found.annotations)
    detections.push_back({1, segment.category_id, 0.9, std::nullopt, annotation_mask(segment, kHeight, kWidth)});
  detections.push_back({1, kCar, 0.9, std::nullopt, Rle{kHeight, kWidth, {kHeight * kWidth}}});  // empty: nothing
  const Metric& metric = find_metric("panoptic");
  check_kind(metric, truth);
  CHECK(score_detections(metric, truth, DetectionList(detections)).text == of_files.text);
  detections.push_back(detections[0]);
  CHECK_ERROR(score_detections(metric, truth, DetectionList(detections)),
              "truth.json: image 1 (1.png): the masks found in it share pixels");
  CocoDataset other = truth;
  other.annotations.clear();
  CHECK_ERROR(check_kind(metric, other), "is no COCO panoptic file, which the metric panoptic needs");
}

}  // namespace
}  // namespace tessera
