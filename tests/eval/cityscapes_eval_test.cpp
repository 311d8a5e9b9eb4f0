#include "eval/cityscapes_eval.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/image.h"
#include "eval/score.h"
#include "tensor/file.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr i64 kHeight = 40, kWidth = 60;
constexpr size_t kPerson = 0, kCar = 2, kTruck = 3;
constexpr i64 kRoad = 7, kStatic = 4, kCarGroup = 26, kCaravanGroup = 29, kCaravan = 29000, kFirstCar = 26000;

struct Rectangle {
  i64 x, y, width, height;
};

// A data set of one street, all road at first, and results for it.
class Street {
 public:
  Street() : map_(Tensor::full({kHeight, kWidth}, kRoad, DType::kI32)) {
    fs::create_directories(truth_);
    fs::create_directories(results_ / "masks");
  }

  Street& paint(i64 value, Rectangle r) {
    for (i64 y = r.y; y < r.y + r.height; ++y)
      for (i64 x = r.x; x < r.x + r.width; ++x) map_.data<i32>()[y * kWidth + x] = static_cast<i32>(value);
    return *this;
  }
  Street& find(i64 label, double confidence, Rectangle r, u8 grey = 255) {
    Tensor mask = Tensor::zeros({kHeight, kWidth}, DType::kU8);
    for (i64 y = r.y; y < r.y + r.height; ++y)
      for (i64 x = r.x; x < r.x + r.width; ++x) mask.data<u8>()[y * kWidth + x] = grey;
    const std::string name = fmt::format("masks/{}.png", masks_++);
    save_png(results_ / name, mask);
    return line(fmt::format("{} {} {}", name, label, confidence));
  }
  Street& line(const std::string& text) {
    text_ += text + "\n";
    return *this;
  }

  CityscapesScores score(std::optional<double> ratio = std::nullopt) {
    std::vector<u8> samples;
    for (const i32 value : map_.span<i32>()) {
      samples.push_back(static_cast<u8>(value >> 8));
      samples.push_back(static_cast<u8>(value & 255));
    }
    write_file(truth_ / "town_000000_000019_gtFine_instanceIds.png", test::png_bytes(kHeight, kWidth, 0, 16, samples));
    write_file(text(), text_);
    return evaluate_cityscapes(root(), results_, {.boundary_ratio = ratio, .progress = {}});
  }

  fs::path root() const { return folder_->path(); }
  const fs::path& results() const { return results_; }
  fs::path text() const { return results_ / "town_000000_000019_pred.txt"; }

 private:
  std::shared_ptr<test::TemporaryFolder> folder_ = std::make_shared<test::TemporaryFolder>();
  fs::path truth_ = root() / "gtFine/val/town", results_ = root() / "results";
  Tensor map_;
  std::string text_;
  i64 masks_ = 0;
};

const Rectangle kHere = {0, 0, 20, 10}, kThere = {30, 0, 20, 10}, kBelow = {0, 20, 20, 10};

// A wrong detection that is surer than the only right one: precision 1/2 at recall 1, 0 at recall 0; half a square.
constexpr double kOneWrongAbove = 0.25;

Street one_car() {
  Street street;
  street.paint(kFirstCar, kHere).find(26, 0.8, kHere);
  return street;
}

TEST_CASE("cityscapes: a car found is 1, classes without objects are no number and left out of the averages") {
  const CityscapesScores scores = one_car().score();
  CHECK(scores.class_ap(kCar) == 1);
  CHECK(scores.class_ap50(kCar) == 1);
  CHECK(std::isnan(scores.class_ap(kPerson)));
  CHECK(scores.mean_ap() == 1);
  CHECK(scores.mean_ap50() == 1);
  CHECK(scores.images == 1);
  CHECK(scores.detections == 1);
  CHECK(std::isnan(Street().score().mean_ap()));
}

TEST_CASE("cityscapes: an overlap must be greater than the threshold") {
  // 100 of 200 pixels: exactly 0.5; 120 of 200: 0.6, and the third threshold is 0.6000000000000001.
  CHECK(Street().paint(kFirstCar, kHere).find(26, 0.8, {0, 0, 10, 10}).score().class_ap50(kCar) == 0);
  const CityscapesScores scores = Street().paint(kFirstCar, kHere).find(26, 0.8, {0, 0, 12, 10}).score();
  CHECK(scores.ap[kCar][1] == 1);
  CHECK(scores.ap[kCar][2] == 0);
  CHECK(scores.class_ap(kCar) == doctest::Approx(0.2));
}

TEST_CASE("cityscapes: of several detections of one car the surest is right, the others are wrong") {
  // Recall 1 at 0.9 with precision 1, recall 1 at 0.8 with precision 1/2.
  CHECK(one_car().find(26, 0.9, kHere).score().class_ap(kCar) == 1);
  // Equally sure: one point of precision 1/2 at recall 1, then 1 at 0: the mean of the two.
  CHECK(one_car().find(26, 0.8, kHere).score().class_ap(kCar) == 0.75);
}

TEST_CASE("cityscapes: a wrong detection counts unless more than the threshold's share of it is to be ignored") {
  CHECK(one_car().find(26, 0.9, kThere).score().class_ap(kCar) == kOneWrongAbove);
  CHECK(one_car().paint(kStatic, kThere).find(26, 0.9, kThere).score().class_ap(kCar) == 1);
  const CityscapesScores half = one_car().paint(kStatic, {30, 0, 10, 10}).find(26, 0.9, kThere).score();
  CHECK(half.class_ap50(kCar) == kOneWrongAbove);  // exactly the share
  const CityscapesScores most = one_car().paint(kStatic, {30, 0, 12, 10}).find(26, 0.9, kThere).score();
  CHECK(most.class_ap50(kCar) == 1);
  CHECK(most.ap[kCar][2] == kOneWrongAbove);
}

TEST_CASE("cityscapes: a single caravan is not ignored ground, a group of caravans is") {
  CHECK(one_car().paint(kCaravan, kThere).find(26, 0.9, kThere).score().class_ap(kCar) == kOneWrongAbove);
  CHECK(one_car().paint(kCaravanGroup, kThere).find(26, 0.9, kThere).score().class_ap(kCar) == 1);
}

TEST_CASE("cityscapes: what lies on a group of its class is neither right nor wrong, and nobody misses the group") {
  CHECK(one_car().paint(kCarGroup, kThere).score().class_ap(kCar) == 1);
  CHECK(one_car().paint(kCarGroup, kThere).find(26, 0.9, kThere).score().class_ap(kCar) == 1);
  CHECK(one_car().paint(kCarGroup, kThere).find(26, 0.9, {30, 0, 4, 5}).score().class_ap(kCar) == 1);
  // For another class it is plain ground.
  const CityscapesScores scores =
      one_car().paint(kCarGroup, kThere).paint(27000, kBelow).find(27, 0.8, kBelow).find(27, 0.9, kThere).score();
  CHECK(scores.class_ap(kTruck) == kOneWrongAbove);
}

TEST_CASE("cityscapes: an object of fewer than 100 pixels is not counted") {
  const Rectangle small = {30, 0, 11, 9}, enough = {30, 0, 10, 10};
  CHECK(one_car().paint(kFirstCar + 1, small).score().class_ap(kCar) == 1);
  CHECK(one_car().paint(kFirstCar + 1, small).find(26, 0.9, small).score().class_ap(kCar) == 1);
  CHECK(one_car().paint(kFirstCar + 1, enough).score().class_ap(kCar) == 0.5);
  CHECK(std::isnan(Street().paint(kFirstCar, small).find(26, 0.9, small).score().class_ap(kCar)));
  // Of 90 pixels 50 lie on a group of 50. That is 0.56, but a group that small weighs double: ignored at 0.6 too.
  const Rectangle group = {30, 0, 5, 10}, wide = {30, 0, 9, 10};
  CHECK(one_car().paint(kCarGroup, group).find(26, 0.9, wide).score().class_ap(kCar) == 1);
}

TEST_CASE("cityscapes: other labels and empty masks are skipped, any grey but 0 is the object") {
  CHECK(one_car().find(7, 0.9, kThere).find(29, 0.9, kThere).score().class_ap(kCar) == 1);
  CHECK(one_car().find(26, 0.9, {0, 0, 0, 0}).score().class_ap(kCar) == 1);
  CHECK(Street().paint(kFirstCar, kHere).find(26, 0.8, kHere, 1).score().class_ap(kCar) == 1);
}

TEST_CASE("cityscapes: of two lines with the same mask the later one counts") {
  Street street = Street().paint(27000, kHere).find(26, 0.8, kHere);
  CHECK(street.line("masks/0.png 27 0.4").score().class_ap(kTruck) == 1);
  CHECK(street.line("masks/../masks/0.png 24 0.3").score().class_ap(kTruck) == 0);
}

TEST_CASE("cityscapes: an empty file is a picture without detections") {
  const CityscapesScores scores = Street().paint(kFirstCar, kHere).score();
  CHECK(scores.class_ap(kCar) == 0);
  CHECK(scores.mean_ap() == 0);
}

TEST_CASE("cityscapes: with boundaries the lesser overlap counts") {
  // A square of 20 moved by one pixel: the masks share 380 of 420, the rims of one pixel 38 of 114.
  Street street = Street().paint(kFirstCar, {10, 10, 20, 20}).find(26, 0.8, {11, 10, 20, 20});
  CHECK(street.score().class_ap50(kCar) == 1);
  CHECK(street.score(0.005).class_ap50(kCar) == 0);
  CHECK(street.score(0.2).class_ap50(kCar) == 1);  // 14 pixels: all of it is boundary
  CHECK(one_car().score(0.005).class_ap(kCar) == 1);
}

TEST_CASE("cityscapes: the report has the names of the official script, and null for no number") {
  const CityscapesScores scores = one_car().score();
  const nlohmann::json json = nlohmann::json::parse(cityscapes_json(scores));
  CHECK(json["averages"]["allAp"] == 1.0);
  CHECK(json["averages"]["allAp50%"] == 1.0);
  CHECK(json["averages"]["classes"]["car"] == nlohmann::json({{"ap", 1.0}, {"ap50%", 1.0}}));
  CHECK(json["averages"]["classes"]["train"]["ap"].is_null());
  CHECK(json["resultApMatrix"][0][kCar].size() == 10);
  CHECK(json["overlaps"][2] == 0.6000000000000001);
  CHECK(json["overlaps"][9] == 0.9500000000000004);
  const std::string table = cityscapes_table(scores);
  CHECK(table.find(" car           1.000  1.000\n") != std::string::npos);
  CHECK(table.find(" average       1.000  1.000\n") != std::string::npos);
}

TEST_CASE("cityscapes: wrong lines are errors that name the file and the line") {
  const auto check = [](const std::string& line, const std::string& message) {
    Street street = one_car();
    CHECK_ERROR(street.line(line).score(), "town_000000_000019_pred.txt:2: ");
    CHECK_ERROR(street.score(), message);
  };
  check("masks/0.png 26", "\"path labelID confidence\" is expected, three fields with one space between; got 2");
  check("masks/0.png 26 0.5 1", "got 4");
  check("masks/0.png  26 0.5", "got 4");
  check("", "got 1");
  check("/masks/0.png 26 0.5", "no path relative to this file");
  check("../../x.png 26 0.5", "\"../../x.png\" is outside of");
  check("../gtFine/x.png 26 0.5", "is outside of");
  check("masks/9.png 26 0.5", "there is no file");
  check("masks/0.png car 0.5", "a label id is expected, not \"car\"");
  check("masks/0.png 2.6 0.5", "a label id is expected");
  check("masks/0.png 34 0.5", "there is no label id 34");
  check("masks/0.png 26 high", "a confidence is expected, not \"high\"");
  check("masks/0.png 26 nan", "the confidence is nan");
}

TEST_CASE("cityscapes: missing, doubled and unreadable files are errors that name them") {
  Street street = one_car();
  street.score();
  const auto evaluate = [&] { evaluate_cityscapes(street.root(), street.results()); };
  write_file(street.results() / "masks/0.png", "no picture");
  CHECK_ERROR(evaluate(), "masks/0.png: is neither a JPEG nor a PNG image");
  save_png(street.results() / "masks/0.png", Tensor::zeros({kHeight, kWidth + 1}, DType::kU8));
  CHECK_ERROR(evaluate(), "masks/0.png: the mask is 40 x 61 (height x width), the picture 40 x 60");
  save_png(street.results() / "masks/0.png", Tensor::zeros({kHeight, kWidth, 3}, DType::kU8));
  CHECK_ERROR(evaluate(), "masks/0.png: a grey PNG is expected, this one has 3 channels");
  write_file(street.results() / "masks/town_000000_000019.txt", "");
  CHECK_ERROR(evaluate(), "two result files for one picture");
  fs::remove(street.results() / "masks/town_000000_000019.txt");
  fs::remove(street.text());
  CHECK_ERROR(evaluate(), "there is no result file town_000000_000019*.txt");
  CHECK_ERROR(evaluate_cityscapes(street.results(), street.results()), "there is no *_gtFine_instanceIds.png");
  CHECK_ERROR(evaluate_cityscapes(street.root() / "absent", street.results()), "absent: is no folder");
  CHECK_ERROR(evaluate_cityscapes(street.root(), street.root() / "absent"), "absent: is no folder");
}

TEST_CASE("cityscapes: the metric scores folders and reports its progress") {
  Street street = one_car();
  street.score();
  ScoreRequest request{.annotations = street.root(), .results = street.results()};
  i64 seen = 0;
  request.progress = [&](i64 done, i64 total) { seen = done * 10 + total; };
  const Score score = score_results("cityscapes", request);
  CHECK(seen == 11);
  CHECK(score.text == cityscapes_table(street.score()));
  REQUIRE(score.bars.size() == 1);
  CHECK(score.bars[0].bars.size() == 9);
  request.ratio = 0.3;
  CHECK(nlohmann::json::parse(score_results("cityscapes-boundary", request).json)["averages"]["allAp"] == 1.0);
  request.ratio = 3;
  CHECK_ERROR(score_results("cityscapes-boundary", request), "the ratio must be 0 to 1");
}

}  // namespace
}  // namespace tessera
