// tessera data split, on the workshop's shapes.
#include "data/coco.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

Arguments split_of(const std::string& out, const Arguments& more = {}) {
  Arguments arguments{"data",  "split", "--annotations", (workshop().folder / "shapes/instances_train.json").string(),
                      "--out", out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("data split: the parts are annotation files that have all pictures between them, and pass the check") {
  const TemporaryFolder folder;
  const std::string out = (folder / "made").string(), pictures = (workshop().folder / "shapes/train").string();
  const Outcome outcome = succeeds(split_of(out, {"--val", "0.25", "--test", "0.25"}));
  for (const char* part : {"pictures                       12        6 (50.0 %)        3 (25.0 %)        3 (25.0 %)\n",
                           "objects ", "  circle ", " train ", " val ", " test\n"})
    CHECK_MESSAGE(outcome.out.find(part) != std::string::npos, outcome.out);
  CHECK(outcome.out.find("groups") == std::string::npos);
  std::vector<std::string> names;
  for (const char* part : {"train", "val", "test"})
    for (const CocoImage& image : load_coco(folder / "made" / (std::string("instances_") + part + ".json")).images)
      names.push_back(image.file_name);
  std::ranges::sort(names);
  CHECK(names.size() == 12);
  CHECK(std::ranges::adjacent_find(names) == names.end());
  succeeds({"data", "check", "--annotations", out + "/instances_train.json", "--images", pictures, "--val-annotations",
            out + "/instances_val.json", "--val-images", pictures});
}

TEST_CASE("data split: a split that is there is replaced only when that is asked for, and then as a whole") {
  const TemporaryFolder folder;
  const std::string out = folder.path().string();
  succeeds(split_of(out, {"--test", "0.2"}));
  const std::string train = read_file(folder / "instances_train.json");
  check_fails(split_of(out, {"--seed", "2"}), 1, "instances_train.json is there already; --overwrite puts");
  CHECK(read_file(folder / "instances_train.json") == train);
  const Outcome outcome = succeeds(split_of(out, {"--seed", "2", "--group", "[0-9]+", "--overwrite"}));
  CHECK(outcome.out.find("groups of pictures             12\n") != std::string::npos);
  CHECK(read_file(folder / "instances_train.json") != train);
  CHECK(!fs::exists(folder / "instances_test.json"));
}

TEST_CASE("data split: what cannot be split is named, and nothing is written") {
  const TemporaryFolder folder;
  const std::string out = (folder / "made").string(), set = (folder / "set").string();
  check_fails(split_of(out, {"--val", "1"}), 1, "together they are between 0 and 1");
  check_fails(split_of(out, {"--group", "lost"}), 1, "\"lost\" is not found in the names of 12 of 12 pictures");
  check_fails(split_of((workshop().folder / "shapes").string(), {"--overwrite"}), 1, "is read by this call");
  succeeds({"data", "shapes", "--panoptic", "--out", set, "--train", "2", "--val", "1", "--size", "64"});
  check_fails({"data", "split", "--annotations", set + "/panoptic_train.json", "--out", out}, 1,
              "panoptic_train.json is no file of instances");
  CHECK(!fs::exists(out));
}

}  // namespace tessera
