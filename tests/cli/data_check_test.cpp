// tessera data check, on shapes that are damaged one by one.
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

// A copy of the workshop's shapes.
struct Shapes {
  TemporaryFolder folder;

  Shapes() { fs::copy(workshop().folder / "shapes", folder / "set", fs::copy_options::recursive); }
  std::string at(const std::string& name) const { return (folder / "set" / name).string(); }
  Arguments command(const Arguments& more = {}) const {
    Arguments arguments{"data", "check", "--annotations", at("instances_train.json"), "--images", at("train")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Arguments both(const Arguments& more = {}) const {
    Arguments arguments = command({"--val-annotations", at("instances_val.json"), "--val-images", at("val")});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  template <class Change>
  void change(const std::string& name, const Change& change) const {
    nlohmann::json file = nlohmann::json::parse(read_file(at(name)));
    change(file);
    write_file(at(name), file.dump());
  }
};

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("data check: sound sets pass, and remarks do not fail") {
  const Shapes shapes;
  Outcome outcome = succeeds(shapes.both());
  CHECK(says(outcome.out, "instances_train.json: 12 pictures, "));
  CHECK(says(outcome.out, "instances_val.json: 4 pictures, "));
  CHECK(says(outcome.out, "\n0 faults, "));

  shapes.change("instances_train.json", [](auto& file) {
    file["categories"].push_back({{"id", 9}, {"name", "hexagon"}});
  });
  outcome = succeeds(shapes.command());
  CHECK(says(outcome.out, "  remark: classes without objects (1)\n    hexagon\n0 faults, 1 remarks\n"));
}

TEST_CASE("data check: all faults are listed by kind, named to the limit, and in JSON all") {
  const Shapes shapes;
  shapes.change("instances_train.json", [&](auto& file) {
    for (int i : {0, 1, 2}) fs::remove(fs::path(shapes.at("train")) / file["images"][i]["file_name"]);
    const fs::path picture = fs::path(shapes.at("train")) / file["images"][3]["file_name"];
    write_file(picture, read_file(picture).substr(0, 100));
    file["annotations"][0]["image_id"] = 4711;
    file["annotations"][1]["area"] = -1;
  });
  const fs::path json = shapes.folder / "made" / "check.json";
  const Outcome outcome = run(shapes.command({"--limit", "2", "--json", json.string()}));
  INFO(outcome.out, outcome.err);
  CHECK(outcome.code == 1);
  CHECK(outcome.err == "tessera: data check: 6 faults, listed on standard output\n");
  CHECK(says(outcome.out, "  fault: pictures that do not exist (3)\n"));
  CHECK(says(outcome.out, "    and 1 more\n  fault: pictures that cannot be read (1)\n"));
  CHECK(says(outcome.out, ": there is no image 4711\n"));
  CHECK(says(outcome.out, "  fault: areas that are not above 0 (1)\n"));
  CHECK(says(outcome.out, "6 faults, 0 remarks\n"));
  const nlohmann::json list = nlohmann::json::parse(read_file(json));
  REQUIRE(list.size() == 1);
  CHECK(list[0]["annotations"] == shapes.at("instances_train.json"));
  CHECK(list[0]["image_count"] == 12);
  CHECK(list[0]["faults"].size() == 4);
  CHECK(list[0]["faults"]["absent_pictures"].size() == 3);
  CHECK(list[0]["faults"]["damaged_pictures"].size() == 1);
  CHECK(list[0]["remarks"].empty());
}

TEST_CASE("data check: a picture of both sets is a leak") {
  const Shapes shapes;
  const auto name = [&](const char* set) {
    const auto file = nlohmann::json::parse(read_file(shapes.at(std::string("instances_") + set + ".json")));
    return fs::path(shapes.at(set)) / file["images"][1]["file_name"];
  };
  write_file(name("val"), read_file(name("train")));
  check_fails(shapes.both(), 1, "data check: ");
  CHECK(says(run(shapes.both()).out, "  fault: pictures that the training set has, too (1)\n"));
  succeeds(shapes.command());
}

TEST_CASE("data check: other layouts are checked, too, and inputs are not written over") {
  const TemporaryFolder folder;
  const std::string set = (folder / "set").string();
  succeeds({"data", "shapes", "--panoptic", "--out", set, "--train", "2", "--val", "1", "--size", "64"});
  succeeds({"data", "check", "--annotations", set + "/panoptic_train.json", "--images", set + "/train"});
  const std::string city = (folder / "city").string();
  succeeds({"data", "shapes", "--cityscapes", "--out", city, "--train", "8", "--val", "1", "--size", "64"});
  succeeds({"data", "check", "--annotations", city + "/gtFine/train", "--images", city + "/leftImg8bit/train"});

  const std::string file = set + "/instances_train.json";
  check_fails({"data", "check", "--annotations", file, "--images", set + "/train", "--json", file}, 1,
              "is read by this call");
  check_fails({"data", "check", "--annotations", file, "--images", set + "/train", "--val-annotations", file}, 2,
              "--val-images");
}

}  // namespace tessera
