// tessera data convert, on the workshop's shapes.
#include "data/coco.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

Arguments convert(const std::string& from, const fs::path& annotations, const std::string& to, const fs::path& out,
                  const Arguments& more = {}) {
  Arguments arguments{"data", "convert", "--from", from,        "--annotations", annotations.string(),
                      "--to", to,        "--out",  out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("data convert: a set that went through other formats is whole, and passes the check") {
  const TemporaryFolder folder;
  const fs::path shapes = workshop().folder / "shapes";
  const Outcome outcome = succeeds(convert("coco", shapes / "instances_train.json", "labelme", folder / "labelme",
                                           {"--images", (shapes / "train").string()}));
  CHECK(outcome.out.find("12 pictures, ") != std::string::npos);
  CHECK(outcome.out.find("not written") == std::string::npos);
  succeeds(convert("labelme", folder / "labelme", "voc", folder / "voc"));
  succeeds(convert("voc", folder / "voc", "coco", folder / "coco"));
  const std::string file = (folder / "coco/instances_train.json").string();
  CHECK(load_coco(file).annotations.size() == load_coco(shapes / "instances_train.json").annotations.size());
  succeeds({"data", "check", "--annotations", file, "--images", (folder / "voc/JPEGImages").string()});
}

TEST_CASE("data convert: what is left out is told, and the folder that is read is not written to") {
  const TemporaryFolder folder;
  succeeds({"data", "shapes", "--cityscapes", "--out", (folder / "city").string(), "--train", "6", "--val", "1",
            "--size", "64"});
  const Outcome outcome = succeeds(convert("cityscapes", folder / "city", "yolo", folder / "yolo"));
  CHECK_MESSAGE(outcome.out.find(" crowd regions (annotation ") != std::string::npos, outcome.out);
  check_fails(convert("yolo", folder / "yolo", "voc", folder / "yolo"), 1, "is read by this call");
  check_fails(convert("yolo", folder / "yolo", "voc", folder / "voc", {"--split", "val"}), 1,
              "there is no \"val:\", the images of that split");
  CHECK(run(convert("darknet", folder / "yolo", "voc", folder / "voc")).code == 2);
}

TEST_CASE("train: a file of LVIS trains, with rare classes repeated, and names the pictures of COCO by their urls") {
  const TemporaryFolder folder;
  nlohmann::json file = nlohmann::json::parse(read_file(workshop().folder / "shapes/instances_train.json"));
  for (nlohmann::json& image : file["images"]) {
    image["coco_url"] = "http://images.cocodataset.org/train/" + image["file_name"].get<std::string>();
    image["neg_category_ids"] = image["not_exhaustive_category_ids"] = nlohmann::json::array();
    image.erase("file_name");
  }
  for (nlohmann::json& category : file["categories"]) category["frequency"] = "r";
  for (nlohmann::json& annotation : file["annotations"]) annotation.erase("iscrowd");
  write_file(folder / "lvis.json", file.dump());
  const Outcome outcome = succeeds(workshop().train(
      "lvis", {"--set", "training.steps=2", "--set", "data.train_annotations=" + (folder / "lvis.json").string(),
               "--set", "data.train_images=" + (workshop().folder / "shapes").string(), "--set",
               "data.val_annotations=", "--set", "data.repeat_threshold=1"}));
  CHECK_MESSAGE(outcome.out.find(" an epoch (data.repeat_threshold)") != std::string::npos, outcome.out);
}

}  // namespace tessera
