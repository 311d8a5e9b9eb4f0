// Cityscapes from outside: shapes in its layout, training, figures, result files, and the score of these.
#include "data/cityscapes.h"

#include "data/image.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

struct Streets {
  TemporaryFolder folder;
  fs::path shapes = folder / "shapes";

  Streets() {
    succeeds(
        {"data", "shapes", "--cityscapes", "--out", shapes.string(), "--train", "8", "--val", "6", "--size", "128"});
    write_config("fassst", "base = \"" + (source_dir() / "configs/fassst/tiny_cityscapes_shapes.toml").string() +
                               "\"\n[augment]\njitter_scale = []\n[schedule]\nmilestones = []\nwarmup_steps = 5\n"
                               "[training]\nsteps = 60\nbatch_size = 4\n");
    write_config("sparseinst",
                 "[model]\nnum_masks = 8\nkernel_dim = 16\nbackbone.kind = \"tiny\"\nbackbone.norm = "
                 "\"batch\"\nencoder.channels = 16\ndecoder.depth = 1\ndecoder.width = 16\n"
                 "[input]\nshortest = 64\nlongest = 128\n[augment]\nshortest = [64]\nlongest = 128\n"
                 "[optimizer]\nlr = 2e-3\n[schedule]\nmilestones = []\nwarmup_steps = 5\n"
                 "[training]\nsteps = 60\nbatch_size = 4\n");
  }
  // A configuration that is trained on the shapes it is evaluated on.
  void write_config(const std::string& name, const std::string& text) const {
    const std::string data = shapes.string();
    write_file(folder / (name + ".toml"),
               text + "checkpoint_every = 1000\n[data]\ntrain_annotations = \"" + data +
                   "/gtFine/train\"\ntrain_images = \"" + data + "/leftImg8bit/train\"\nval_annotations = \"" + data +
                   "/gtFine/train\"\nval_images = \"" + data +
                   "/leftImg8bit/train\"\nskip_empty = false\nworkers = 1\n[evaluation]\nevery = 0\nmetric = "
                   "\"cityscapes\"\n");
  }
  std::string at(const std::string& name) const { return (folder / name).string(); }
  nlohmann::json json(const std::string& name) const { return nlohmann::json::parse(read_file(folder / name)); }
};

const Streets& streets() {
  static const Streets shared;
  return shared;
}

}  // namespace

TEST_CASE("cityscapes program: training's figures are those of eval, and of the score of what predict writes") {
  const Streets& s = streets();
  const std::string truth = s.at("shapes/gtFine/train"), pictures = s.at("shapes/leftImg8bit/train");
  for (const std::string family : {"fassst", "sparseinst"}) {
    CAPTURE(family);
    succeeds({"train", s.at(family + ".toml"), "--out", s.at(family)});
    succeeds({"eval", "--checkpoint", s.at(family), "--json", s.at("eval.json")});
    const Outcome predicted = succeeds({"predict", "--checkpoint", s.at(family), "--out", s.at("found"),
                                        "--annotations", truth, pictures + "/northtown", pictures + "/southtown"});
    CHECK(predicted.out.starts_with("8 pictures and cityscapes/ ("));
    CHECK(!fs::exists(s.folder / "found/results.json"));
    CHECK(fs::exists(s.folder / "found/northtown_000000_000019_leftImg8bit.png"));
    succeeds({"score", "--metric", "cityscapes", "--annotations", truth, "--results", s.at("found/cityscapes"),
              "--json", s.at("score.json")});
    const nlohmann::json scored = s.json("score.json");
    CHECK(scored == s.json("eval.json"));
    const double ap = scored["averages"]["allAp"];
    CHECK(ap > 0);
    std::istringstream log(read_file(s.folder / family / "log.jsonl"));
    nlohmann::json last;
    for (std::string line; std::getline(log, line);) last = nlohmann::json::parse(line);
    CHECK(last["cityscapes"]["AP"] == ap);
  }
}

TEST_CASE("cityscapes program: what is wrong with the data is said before the first step") {
  const Streets& s = streets();
  const fs::path set = s.folder / "broken", pictures = set / "leftImg8bit/train", labels = set / "gtFine/train";
  const auto copy = [&] {
    fs::remove_all(set);
    fs::copy(s.shapes, set, fs::copy_options::recursive);
  };
  const Arguments train{"train",
                        s.at("fassst.toml"),
                        "--dry-run",
                        "--set",
                        "data.train_annotations=" + labels.string(),
                        "--set",
                        "data.train_images=" + pictures.string(),
                        "--set",
                        "data.skip_empty=true",
                        "--out",
                        s.at("never")};
  copy();
  fs::remove_all(pictures / "northtown");
  check_fails(train, 1, "of the ");
  check_fails(train, 1, "northtown/northtown_000004_000019_leftImg8bit.png");
  copy();
  fs::remove_all(labels / "southtown");
  const Outcome fewer = run(train);
  CHECK(fewer.code == 0);
  CHECK(fewer.err.find("4 pictures have no labels in") != std::string::npos);
  CHECK(fewer.err.find("southtown/southtown_000001_000019_leftImg8bit.png") != std::string::npos);
  copy();
  fs::remove(labels / "southtown/southtown_000001_000019_gtFine_instanceIds.png");
  check_fails(train, 1, "southtown_000001_000019_gtFine_labelIds.png: 1 pictures have labels but no");
  copy();
  save_png(pictures / "southtown/southtown_000001_000019_leftImg8bit.png", Tensor::zeros({64, 96, 3}, DType::kU8));
  check_fails(train, 1, "southtown_000001_000019_leftImg8bit.png is 64 x 96 (height x width), annotated 64 x 128");
  copy();
  save_png(labels / "southtown/southtown_000001_000019_gtFine_instanceIds.png",
           Tensor::full({64, 128}, 40, DType::kI32));
  check_fails(train, 1, "southtown_000001_000019_gtFine_instanceIds.png: 8192 pixels have the value 40");
  copy();
  save_png(labels / "southtown/southtown_000001_000019_gtFine_instanceIds.png",
           Tensor::full({64, 128}, 7, DType::kI32));
  const Outcome empty = run(train);
  CHECK(empty.code == 0);
  CHECK(empty.out.find("without objects are left out)") != std::string::npos);
}

TEST_CASE("cityscapes program: a model of none of its classes has no results to write") {
  const Streets& s = streets();
  check_fails({"predict", "--checkpoint", trained(), "--out", s.at("strange"), "--annotations",
               s.at("shapes/gtFine/val"), s.at("shapes/leftImg8bit/val/easttown")},
              1, "none of the model's classes (circle, rectangle, triangle) is one of Cityscapes'");
}

}  // namespace tessera
