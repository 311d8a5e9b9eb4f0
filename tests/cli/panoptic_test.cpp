// Panoptic segmentation from outside: shapes with their ground, training, figures, PNGs, and the score of these.
#include "data/panoptic.h"

#include <set>

#include "data/image.h"
#include "data/video.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

// Panoptic shapes and a run of three steps of a tiny EffSeg, lenient enough to find something by then; made once.
struct Panoptic {
  TemporaryFolder folder;
  fs::path config = folder / "tiny.toml", truth = folder / "shapes" / "panoptic_val.json";

  Panoptic() {
    succeeds({"data", "shapes", "--panoptic", "--out", (folder / "shapes").string(), "--train", "8", "--val", "5",
              "--size", "64"});
    const std::string shapes = (folder / "shapes").string();
    write_file(config, "base = \"" + (source_dir() / "configs/effseg/tiny_panoptic_shapes.toml").string() +
                           "\"\n[model]\npanoptic.score_threshold = 0.005\npanoptic.pixel_threshold = 0.1\n"
                           "panoptic.least_overlap = 0.05\npanoptic.nms_threshold = 0.95\nqueries = 40\n"
                           "neck.channels = 32\nhead.fcn_layers = 1\nhead.refinements = 200\n"
                           "[input]\nshortest = 48\nlongest = 64\n[augment]\nshortest = [48]\nlongest = 64\n"
                           "[data]\ntrain_annotations = \"" +
                           shapes + "/panoptic_train.json\"\ntrain_images = \"" + shapes +
                           "/train\"\nval_annotations = \"" + truth.string() + "\"\nval_images = \"" + shapes +
                           "/val\"\n[schedule]\nmilestones = []\nwarmup_steps = 0\n[training]\nsteps = 3\nbatch_size = "
                           "2\ncheckpoint_every = 1\n"
                           "keep_checkpoints = 3\n[evaluation]\nevery = 1\nbatch_size = 1\n");
    succeeds(train("run"));
  }
  std::string at(const char* name) const { return (folder / name).string(); }
  Arguments train(const char* out, const Arguments& more = {}) const {
    Arguments arguments{"train", config.string(), "--out", at(out)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  nlohmann::json json(const char* name) const { return nlohmann::json::parse(read_file(folder / name)); }
};

const Panoptic& panoptic() {
  static const Panoptic shared;
  return shared;
}

}  // namespace

TEST_CASE("panoptic program: the score of what predict wrote is that of eval and of the training's log") {
  const Panoptic& p = panoptic();
  succeeds({"eval", "--checkpoint", p.at("run"), "--json", p.at("eval.json")});
  const Outcome predicted = succeeds({"predict", "--checkpoint", p.at("run"), "--out", p.at("found"), "--annotations",
                                      p.truth.string(), "--threshold", "0", p.at("shapes/val")});
  CHECK(predicted.out.find("5 pictures and panoptic.json (") == 0);
  succeeds({"score", "--metric", "panoptic", "--annotations", p.truth.string(), "--results",
            p.at("found/panoptic.json"), "--json", p.at("score.json")});
  const nlohmann::json scored = p.json("score.json");
  CHECK(scored == p.json("eval.json"));
  i64 found = 0;
  for (const auto& [category, counts] : scored["counts"].items())
    found += counts["tp"].get<i64>() + counts["fp"].get<i64>();
  CHECK(found > 5);  // a network of three steps finds something, right or wrong

  std::istringstream log(read_file(p.folder / "run" / "log.jsonl"));
  nlohmann::json best;  // which the checkpoint is of
  for (std::string line; std::getline(log, line);)
    if (const auto json = nlohmann::json::parse(line); json.contains("panoptic"))
      if (best.is_null() || json["panoptic"]["PQ"] > best["panoptic"]["PQ"]) best = json;
  CHECK(best["panoptic"]["PQ"] == scored["All"]["pq"]);
  CHECK(best["panoptic"]["PQ stuff"] == scored["Stuff"]["pq"]);
}

TEST_CASE("panoptic program: predict writes COCO's panoptic format, a segment per entry and a PNG per picture") {
  const Panoptic& p = panoptic();
  const fs::path out = p.folder / "alone";
  succeeds({"predict", "--checkpoint", p.at("run"), "--out", out.string(), "--threshold", "0", p.at("shapes/val")});
  CHECK(!fs::exists(out / "results.json"));
  CHECK(!fs::exists(out / "images.json"));
  const CocoDataset found = load_panoptic_dataset(out / "panoptic.json");  // checks the sizes of the PNGs
  REQUIRE(found.images.size() == 5);
  CHECK(found.images[0].file_name == "000001.png");
  REQUIRE(found.categories.size() == 6);
  CHECK(found.categories[2].name == "triangle");
  CHECK(found.categories[2].isthing);
  CHECK(found.categories[3].name == "stripes");
  CHECK(!found.categories[3].isthing);
  REQUIRE(found.annotations.size() > 5);
  std::set<std::pair<i64, i64>> stuff;
  for (const CocoAnnotation& annotation : found.annotations) {
    const Rle mask = segment_mask(std::get<PngSegment>(annotation.segmentation));
    CHECK(static_cast<double>(rle_area(mask)) == annotation.area);
    CHECK(rle_bbox(mask) == annotation.bbox);
    CHECK((annotation.category_id <= 3 || stuff.emplace(annotation.image_id, annotation.category_id).second));
  }
  const ImageSize drawn = image_size(out / "000001.png");
  CHECK(drawn.height > found.images[0].height);  // small pictures are enlarged

  // Its own file is an image list, and leads to the same segments.
  succeeds({"predict", "--checkpoint", p.at("run"), "--out", p.at("again"), "--annotations",
            (out / "panoptic.json").string(), p.at("shapes/val")});
  CHECK(read_file(p.folder / "again" / "panoptic.json") == read_file(out / "panoptic.json"));
}

TEST_CASE("panoptic program: a picture that fails has no entry, and PNGs are never under the entries of another call") {
  const Panoptic& p = panoptic();
  const fs::path out = p.folder / "out", images = p.folder / "images";
  fs::copy(p.folder / "shapes" / "val", images);
  write_file(images / "000002.png", "no picture");
  const Arguments arguments{"predict", "--checkpoint", p.at("run"), "--out", out.string(), images.string()};
  CHECK(run(arguments).code == 1);
  CHECK(load_panoptic(out / "panoptic.json").pictures.size() == 4);
  fs::remove_all(out / "panoptic");
  write_file(out / "panoptic", "a file where the folder of PNGs is to be");
  const Outcome outcome = run(arguments);
  CHECK(outcome.code == 1);
  CHECK(outcome.err.find("5 of 5 images failed") != std::string::npos);
  CHECK(!fs::exists(out / "panoptic.json"));
}

TEST_CASE("panoptic program: a run that is resumed ends as the whole one, and keeps its things and its stuff") {
  const Panoptic& p = panoptic();
  succeeds(p.train("halves", {"--set", "training.steps=2"}));
  succeeds({"train", "--resume", "--out", p.at("halves"), "--set", "training.steps=3"});
  const std::string last = "checkpoint-00000003.safetensors";
  CHECK(read_file(p.folder / "halves" / last) == read_file(p.folder / "run" / last));
  check_fails({"train", "--resume", "--out", p.at("halves"), "--set", "model.panoptic.things=2"}, 1,
              "model.panoptic.things is 2, but of the categories of");
  const Outcome other = run({"train", "--resume", "--out", p.at("halves"), "--set", "model.panoptic.least_area=30"});
  CHECK(other.code == 0);
  CHECK(other.out.find("model.panoptic.least_area: 20 -> 30") != std::string::npos);
}

TEST_CASE("panoptic program: what does not fit is said before the first step") {
  const Panoptic& p = panoptic();
  const auto fails = [&](const std::string& set, const std::string& message) {
    check_fails(p.train("fails", {"--set", set}), 1, message);
  };
  fails("model.panoptic.things=4", "model.panoptic.things is 4, but of the categories of");
  fails("model.num_classes=3", "panoptic_train.json has 6 categories");
  fails("model.task=instances", "panoptic judges segments that share no pixel");
  const std::string instances = p.at("shapes/instances_val.json");
  check_fails({"eval", "--checkpoint", p.at("run"), "--annotations", instances, "--images", p.at("shapes/val")}, 1,
              "instances_val.json is no COCO panoptic file, which the metric panoptic needs");
  CHECK(!fs::exists(p.folder / "fails"));
}

TEST_CASE("panoptic program: segments are drawn into a video") {
  if (!has_video()) return;
  const Panoptic& p = panoptic();
  const Outcome outcome = succeeds({"predict", "--checkpoint", p.at("run"), "--out", p.at("segments.mp4"),
                                    "--threshold", "0", p.at("shapes/val/000001.png")});
  CHECK(outcome.out.starts_with("1 frames in "));
  CHECK(open_video(p.at("segments.mp4"))->next().has_value());
}

}  // namespace tessera
