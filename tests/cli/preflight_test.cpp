// What `tessera train` and `tessera eval` find and say before the work begins.
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

// The annotations of the workshop's `set`, changed, in a file of their own.
template <class Change>
std::string changed(const std::string& set, const std::string& name, const Change& change) {
  const Workshop& w = workshop();
  nlohmann::json file = nlohmann::json::parse(read_file(w.folder / "shapes" / ("instances_" + set + ".json")));
  change(file);
  write_file(w.folder / name, file.dump());
  return fmt::format("data.{}_annotations={}", set, (w.folder / name).string());
}

}  // namespace

TEST_CASE("program: a validation picture that is absent is found before the first step, by train and by eval") {
  const Workshop& w = workshop();
  const std::string val =
      changed("val", "absent.json", [](auto& file) { file["images"][1]["file_name"] = "lost.png"; });
  const std::string found = "1 of the 4 pictures of " + (w.folder / "absent.json").string() + " do not exist in ";
  check_fails(w.train("absent", {"--set", val}), 1, found + "data.val_images = ");
  CHECK(!fs::exists(w.folder / "absent" / "log.jsonl"));
  check_fails(w.train("absent", {"--set", val, "--dry-run"}), 1, found);

  REQUIRE(run(w.train("present", {"--set", "training.steps=1"})).code == 0);
  check_fails({"eval", "--checkpoint", (w.folder / "present").string(), "--annotations",
               (w.folder / "absent.json").string(), "--images", (w.folder / "shapes" / "val").string()},
              1, found + "--images = ");
}

TEST_CASE("program: boxes of zeros are those of the masks, and both that and a short run are said at the start") {
  const Workshop& w = workshop();
  const std::string train = changed("train", "zeros.json", [](auto& file) {
    for (auto& annotation : file["annotations"]) annotation["bbox"] = {0, 0, 0, 0};
  });
  const Arguments more = {"--set", train, "--set", "training.steps=3", "--set", "model.num_masks=1"};
  const Outcome trained = run(w.train("zeros", more)),
                as_annotated = run(w.train("boxes", {more[2], more[3], more[4], more[5]}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  REQUIRE_MESSAGE(as_annotated.code == 0, as_annotated.err);
  CHECK(w.log("zeros") == w.log("boxes"));
  for (const char* part : {"get that of their mask", "more objects than the 1 that the network can find",
                           "schedule.milestones: the run ends before 210000, 250000", "evaluation.every = 4"})
    CHECK_MESSAGE(trained.err.find(part) != std::string::npos, part);
  CHECK(trained.err.starts_with("tessera: warning: "));
  CHECK(trained.out.find("memory: about ") != std::string::npos);
  Arguments dry = more;
  dry.push_back("--dry-run");
  CHECK(run(w.train("zeros", dry)).err == trained.err);
}

TEST_CASE("program: a run tells at its end that mosaics had more objects than the network can learn") {
  const Workshop& w = workshop();
  const Outcome trained = run(w.train(
      "mosaics", {"--set", "augment.mosaic_probability=1", "--set", "model.num_masks=1", "--set", "training.steps=2"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.out.find(
            "objects into a picture, more than the 1 of them that the network can learn (model.num_masks)") !=
        std::string::npos);
}

TEST_CASE("program: a validation set without masks serves the metric bbox, and is refused for segm") {
  const Workshop& w = workshop();
  const std::string val = changed("val", "maskless.json", [](auto& file) {
    for (auto& annotation : file["annotations"]) annotation.erase("segmentation");
  });
  check_fails(w.train("maskless", {"--set", val}), 1, "have no segmentation");
  const Outcome trained =
      run(w.train("maskless", {"--set", val, "--set", "evaluation.metric=bbox", "--set", "training.steps=1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find("there will be no segm figures") != std::string::npos);
  const nlohmann::json figures = nlohmann::json::parse(w.log("maskless").back());
  CHECK(figures.contains("bbox"));
  CHECK(!figures.contains("segm"));
}

}  // namespace tessera
