// tessera predict from outside: what it reads stays, what it finds can be joined back, and one bad file is one bad
// file.
#include <map>
#include <set>

#include "data/image.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

nlohmann::json read_json(const fs::path& path) {
  return nlohmann::json::parse(read_file(path));
}

fs::path val() {
  return workshop().folder / "shapes" / "val";
}

// The validation pictures, as a new folder.
fs::path copy_of_val(const fs::path& folder) {
  fs::create_directories(folder.parent_path());
  fs::copy(val(), folder);
  return folder;
}

Outcome predict(const fs::path& out, const Arguments& more) {
  Arguments arguments{"predict", "--checkpoint", trained(), "--out", out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

void check_predict_fails(const fs::path& out, const Arguments& more, const std::string& part) {
  Arguments arguments{"predict", "--checkpoint", trained(), "--out", out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  check_fails(arguments, 1, part);
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().string()] = read_file(entry.path());
  return files;
}

std::set<i64> image_ids(const fs::path& results) {
  std::set<i64> ids;
  for (const nlohmann::json& result : read_json(results)) ids.insert(result["image_id"].get<i64>());
  return ids;
}

void write_json(const fs::path& path, const nlohmann::json& json) {
  write_file(path, json.dump());
}

}  // namespace

TEST_CASE("predict: inputs stay as they are, whatever their folder is called") {
  const TemporaryFolder folder;
  const fs::path images = copy_of_val(folder / "images"), way = folder / "way", linked = folder / "linked";
  const auto before = contents(images);
  fs::create_directory_symlink("images", way);
  fs::create_directory(linked);
  fs::create_hard_link(images / "000001.png", linked / "000002.png");
  const fs::path other = images / "." / ".." / "images";
  for (const fs::path& out : {images, way, linked, other})
    check_predict_fails(out, {images.string()}, "is read by this call, and ");
  // A picture of a map is an output too, and the other files of the call are inputs.
  const fs::path maps = folder / "maps", list = maps / "results.json";
  fs::create_directory(maps);
  fs::create_hard_link(images / "000001.png", maps / "000002-map03.png");
  check_predict_fails(maps, {"--maps", images.string()}, "000002-map03.png would overwrite it");
  fs::copy(images / "000001.png", folder / "000002-map03.png");
  check_predict_fails(folder / "out", {"--maps", images.string(), (folder / "000002-map03.png").string()},
                      "000002-map03.png: would be written twice");
  fs::copy(workshop().folder / "shapes" / "instances_val.json", list);
  check_predict_fails(maps, {"--annotations", list.string(), images.string()}, "results.json would overwrite it");
  CHECK(contents(images) == before);
  CHECK(!fs::exists(images / "results.json"));
  check_predict_fails(images / "000001.png", {images.string()}, "is a file, --out is a folder");
}

TEST_CASE("predict: images of several folders keep their names, and images.json tells whose the results are") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out", left = folder / "left" / "0001.png", right = folder / "right" / "0001.png";
  for (const fs::path& file : {left, right}) fs::create_directory(file.parent_path());
  fs::copy(val() / "000001.png", left);
  fs::copy(val() / "000002.png", right);
  const Outcome outcome = predict(out, {left.string(), right.parent_path().string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(fs::exists(out / "left" / "0001.png"));
  CHECK(fs::exists(out / "right" / "0001.png"));
  CHECK(image_ids(out / "results.json") == std::set<i64>{1, 2});
  const nlohmann::json images = read_json(out / "images.json")["images"];
  REQUIRE(images.size() == 2);
  const ImageSize size = image_size(right);
  CHECK(images[1] ==
        nlohmann::json{{"id", 2}, {"file_name", "right/0001.png"}, {"height", size.height}, {"width", size.width}});
  CHECK(read_json(out / "images.json")["categories"].size() == 3);

  // As an image list it leads to the same results, in whatever order the files come.
  const Outcome again =
      predict(folder / "again", {"--annotations", (out / "images.json").string(), left.string(), right.string()});
  REQUIRE_MESSAGE(again.code == 0, again.err);
  CHECK(read_file(folder / "again" / "results.json") == read_file(out / "results.json"));
  CHECK(!fs::exists(folder / "again" / "images.json"));
  CHECK(
      predict(folder / "back", {"--annotations", (out / "images.json").string(), right.string(), left.string()}).code ==
      0);
  CHECK(image_ids(folder / "back" / "results.json") == std::set<i64>{1, 2});
  CHECK(read_json(folder / "back" / "results.json")[0]["image_id"] == 2);
}

TEST_CASE("predict: image ids come from the image whose name the file's path ends like") {
  const TemporaryFolder folder;
  const fs::path a = folder / "cam_a" / "0001.png", b = folder / "cam_b" / "0001.png", list = folder / "gt.json";
  for (const fs::path& file : {a, b}) {
    fs::create_directory(file.parent_path());
    fs::copy(val() / "000001.png", file);
  }
  fs::copy(val() / "000001.png", folder / "0001.png");
  const ImageSize size = image_size(a);
  const auto image = [&](i64 id, const char* name) {
    return nlohmann::json{{"id", id}, {"file_name", name}, {"height", size.height}, {"width", size.width}};
  };
  // As COCO's test sets: no annotations.
  write_json(list, {{"images", {image(11, "cam_a/0001.png"), image(22, "cam_b/0001.png")}}});
  const Outcome outcome = predict(folder / "out", {"--annotations", list.string(), b.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(image_ids(folder / "out" / "results.json") == std::set<i64>{22});
  const ImageSize drawn = image_size(folder / "out" / "0001.png");
  CHECK(drawn.height * size.width == drawn.width * size.height);  // nothing is annotated, so nothing stands beside it
  const Outcome both = predict(folder / "both", {"--annotations", list.string(), b.string(), a.string()});
  REQUIRE_MESSAGE(both.code == 0, both.err);
  CHECK(image_ids(folder / "both" / "results.json") == std::set<i64>{11, 22});
  check_predict_fails(folder / "out", {"--annotations", list.string(), (folder / "0001.png").string()},
                      "cam_a/0001.png (id 11) and cam_b/0001.png (id 22)");
  check_predict_fails(folder / "out", {"--annotations", list.string(), a.string(), (val() / "000002.png").string()},
                      "000002.png: ");
}

TEST_CASE("predict: hidden files of a folder are passed over") {
  const TemporaryFolder folder;
  const fs::path images = copy_of_val(folder / "images");
  write_file(images / "._000001.png", std::string(4096, '\0'));
  write_file(images / ".DS_Store", "x");
  const Outcome outcome = predict(folder / "out", {images.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.out.starts_with("4 pictures and results.json ("));
}

TEST_CASE("predict: an image that cannot be read is reported, and the others are written") {
  const TemporaryFolder folder;
  const fs::path images = copy_of_val(folder / "images"), out = folder / "out", damaged = images / "000002.png";
  const std::string whole = read_file(damaged);
  write_file(damaged, whole.substr(0, whole.size() / 2));
  const Outcome outcome = predict(out, {images.string(), (folder / "absent.png").string()});
  CHECK(outcome.code == 1);
  INFO(outcome.err);
  CHECK(outcome.err.find("tessera: " + damaged.string() + ": ") != std::string::npos);
  CHECK(outcome.err.find("tessera: " + (folder / "absent.png").string() + ": cannot be opened") != std::string::npos);
  CHECK(outcome.err.ends_with("tessera: 2 of 5 images failed (see above)\n"));
  CHECK(outcome.out.starts_with("3 pictures and results.json ("));
  CHECK(read_json(out / "images.json")["images"].size() == 3);
  const fs::path undamaged = folder / "undamaged";
  fs::remove(damaged);
  REQUIRE(predict(undamaged, {images.string()}).code == 0);
  CHECK(read_json(out / "results.json").size() == read_json(undamaged / "results.json").size());

  // Where nothing could be read, an earlier call's results stay.
  const auto before = contents(out);
  CHECK(predict(out, {(folder / "absent.png").string()}).code == 1);
  CHECK(contents(out) == before);
}

TEST_CASE("predict: errors come in the order of the images, and every byte is the same a second time") {
  const TemporaryFolder folder;
  const fs::path images = folder / "images";
  fs::create_directory(images);
  std::string errors;
  for (int i = 0; i < 40; ++i) {
    const fs::path image = images / fmt::format("{:02}.png", i);
    if (i % 7 == 3) {  // read in no time, between others that take theirs
      write_file(image, "no picture");
      errors += "tessera: " + image.string() + ": is neither a JPEG nor a PNG image\n";
    } else {
      fs::copy(val() / fmt::format("{:06}.png", i % 4 + 1), image);
    }
  }
  const Outcome once = predict(folder / "once", {images.string()}),
                again = predict(folder / "again", {images.string()});
  CHECK(once.code == 1);
  CHECK(once.err == errors + "tessera: 6 of 40 images failed (see above)\n");
  CHECK(again.err == once.err);
  const auto files = contents(folder / "once"), same = contents(folder / "again");
  CHECK(files.size() == 37);  // 34 pictures and three lists
  CHECK(std::equal(files.begin(), files.end(), same.begin(), same.end(),
                   [](const auto& a, const auto& b) { return a.second == b.second; }));
  const nlohmann::json list = read_json(folder / "once" / "images.json")["images"];
  CHECK(std::is_sorted(list.begin(), list.end(), [](const auto& a, const auto& b) { return a["id"] < b["id"]; }));
}

TEST_CASE("predict: a picture that cannot be written does not take its results along") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  for (const char* side : {"left", "right"}) copy_of_val(folder / side);
  fs::create_directory(out);
  write_file(out / "left", "a file where a folder is to be");
  const Outcome outcome = predict(out, {(folder / "left").string(), (folder / "right").string()});
  CHECK(outcome.code == 1);
  INFO(outcome.err);
  CHECK(outcome.err.find("tessera: " + (folder / "left" / "000001.png").string() + ": ") != std::string::npos);
  CHECK(outcome.out.starts_with("4 pictures and results.json ("));
  CHECK(read_json(out / "images.json")["images"].size() == 8);
  CHECK(image_ids(out / "results.json").size() == 8);
}

TEST_CASE("predict: stopped by a signal it writes what it has found") {
  const TemporaryFolder folder;
  const fs::path images = folder / "images", out = folder / "out";
  fs::create_directory(images);
  for (i64 i = 0; i < 2000; ++i) fs::create_symlink(val() / "000001.png", images / fmt::format("{:04}.png", i));
  const Program program(folder.path(), {"predict", "--checkpoint", trained(), "--out", out.string(), images.string()});
  for (i64 i = 0; i < 2000 && !fs::exists(out / "0003.png"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.send(SIGINT);
  const Outcome outcome = program.wait();
  CHECK(outcome.code == 128 + SIGINT);
  CHECK(outcome.err.starts_with("tessera: predict: stopped after "));
  const size_t found = read_json(out / "images.json")["images"].size();
  CHECK(found >= 4);
  CHECK(found < 2000);
  CHECK(image_ids(out / "results.json").size() == found);
}

TEST_CASE("predict: an object has pixels, and a written score above the threshold") {
  const TemporaryFolder folder;
  const Arguments one{(val() / "000001.png").string()};
  REQUIRE(predict(folder / "all", one).code == 0);
  std::vector<double> scores;
  for (const nlohmann::json& result : read_json(folder / "all" / "results.json")) scores.push_back(result["score"]);
  REQUIRE(scores.size() == 8);
  std::sort(scores.begin(), scores.end());
  const auto with = [&](const std::string& setting) {
    Arguments arguments{"--set", "model.inference." + setting};
    arguments.insert(arguments.end(), one.begin(), one.end());
    REQUIRE(predict(folder / "some", arguments).code == 0);
    return read_json(folder / "some" / "results.json");
  };
  CHECK(with("mask_threshold=0.999").empty());
  const nlohmann::json above = with(fmt::format("score_threshold={}", scores[3]));
  CHECK(above.size() == 4);
  for (const nlohmann::json& result : above) CHECK(result["score"] > scores[3]);
}

TEST_CASE("predict: counts.csv has the objects of each class that are drawn") {
  const TemporaryFolder folder;
  fs::copy_file(val() / "000001.png", folder / "a, b.png");
  const std::string picture = (folder / "a, b.png").string();
  REQUIRE(predict(folder / "all", {picture}).code == 0);
  std::vector<double> scores;
  for (const nlohmann::json& result : read_json(folder / "all" / "results.json")) scores.push_back(result["score"]);
  std::ranges::sort(scores);
  REQUIRE(predict(folder / "some", {"--threshold", fmt::format("{}", scores[3]), picture}).code == 0);
  std::map<std::string, int> expected{{"1", 0}, {"2", 0}, {"3", 0}};
  for (const nlohmann::json& result : read_json(folder / "some" / "results.json"))
    expected[result["category_id"].dump()] += result["score"] >= scores[3];
  CHECK(read_file(folder / "some" / "counts.csv") ==
        fmt::format("picture,circle,rectangle,triangle\n\"a, b.png\",{},{},{}\n", expected["1"], expected["2"],
                    expected["3"]));
}

TEST_CASE("predict, train, eval: strips are not enlarged to gigabytes") {
  const TemporaryFolder folder;
  const fs::path images = folder / "images", list = folder / "gt.json";
  fs::create_directory(images);
  nlohmann::json truth{{"categories", {{{"id", 1}, {"name", "strip"}}}}};
  i64 id = 0;
  for (const auto& [height, width] : {std::pair<i64, i64>{1, 9000}, {10, 3000}, {4096, 16}, {3, 700}}) {
    const std::string name = fmt::format("{}x{}.png", height, width);
    Tensor image = Tensor::zeros({height, width, 3}, DType::kU8);
    save_png(images / name, image);
    truth["images"].push_back({{"id", ++id}, {"file_name", name}, {"height", height}, {"width", width}});
    truth["annotations"].push_back({{"id", id},
                                    {"image_id", id},
                                    {"category_id", 1},
                                    {"iscrowd", 0},
                                    {"area", height * width},
                                    {"bbox", {0, 0, width, height}},
                                    {"segmentation", {{0, 0, width, 0, width, height, 0, height}}}});
  }
  write_json(list, truth);
  const Outcome outcome = predict(folder / "out", {"--threshold", "0", "--maps", images.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder / "out")) {
    if (entry.path().extension() != ".png") continue;
    const auto [height, width] = image_size(entry.path());
    INFO(entry.path().string(), " has ", height, " x ", width);
    CHECK(height * width <= 2'000'000);
  }
  const auto set = [](const std::string& option, const std::string& value) {
    return Arguments{"--set", option + "=" + value};
  };
  Arguments train{"train", workshop().config.string(), "--out", (folder / "run").string()};
  for (const Arguments& option :
       {set("data.train_annotations", list.string()), set("data.train_images", images.string()),
        set("data.val_annotations", list.string()), set("data.val_images", images.string()),
        set("augment.crop_probability", "1"), set("training.steps", "2")})
    train.insert(train.end(), option.begin(), option.end());
  const Outcome run_of_strips = run(train);
  REQUIRE_MESSAGE(run_of_strips.code == 0, run_of_strips.err);
  const Outcome evaluated = run({"eval", "--checkpoint", (folder / "run").string()});
  CHECK_MESSAGE(evaluated.code == 0, evaluated.err);
}

TEST_CASE("program: no command writes over what it reads") {
  const Workshop& w = workshop();
  const TemporaryFolder folder;
  const fs::path shapes = w.folder / "shapes";
  const auto copied = [&](const fs::path& file, const char* name) {
    fs::copy(file, folder / name);
    return (folder / name).string();
  };
  const std::string truth = copied(shapes / "instances_val.json", "gt.json");
  const std::string config = copied(w.config, "tiny.toml");
  const std::string image = copied(shapes / "val" / "000001.png", "1.png");
  const std::string checkpoint = copied(fs::path(trained()) / "best.safetensors", "best.safetensors");
  write_file(folder / "dt.json", "[]");
  const std::string results = (folder / "dt.json").string(), weights = (folder / "weights.safetensors").string();
  REQUIRE(run({"export", "--checkpoint", checkpoint, weights}).code == 0);
  const auto before = contents(folder.path());
  const auto other = [&](const std::string& path) { return (folder / "." / fs::path(path).filename()).string(); };
  const Arguments score{"score", "--annotations", truth, "--results", results, "--metric", "coco-segm"};
  const auto with = [](Arguments arguments, const Arguments& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  for (const Arguments& arguments : {Arguments{"convert", weights, other(weights)},
                                     {"convert", weights, other(config), "--config", config},
                                     {"export", "--checkpoint", checkpoint, other(checkpoint)},
                                     {"eval", "--checkpoint", checkpoint, "--json", other(checkpoint)},
                                     {"eval", "--checkpoint", checkpoint, "--annotations", truth, "--images",
                                      (shapes / "val").string(), "--json", other(truth)},
                                     with(score, {"--json", other(truth)}),
                                     with(score, {"--curves", other(results)}),
                                     {"maps", "--checkpoint", checkpoint, "--out", other(image), image},
                                     {"maps", "--checkpoint", checkpoint, "--out", other(checkpoint), image},
                                     {"info", "--model", config, "--json", other(config)},
                                     {"bench", "--model", config, "--json", other(config)}})
    check_fails(arguments, 1, "is read by this call");
  const std::string same = (folder / "figures.svg").string();
  check_fails(with(score, {"--json", same, "--curves", other(same)}), 1, "would be written twice");
  CHECK(contents(folder.path()) == before);
}

TEST_CASE("program: maps averages over the images that can be read, and says which cannot") {
  const TemporaryFolder folder;
  const std::string out = (folder / "maps.png").string(), damaged = (folder / "damaged.png").string();
  write_file(damaged, "no picture");
  const Outcome outcome =
      run({"maps", "--checkpoint", trained(), "--out", out, "--size", "20", val().string(), damaged});
  CHECK(outcome.code == 1);
  CHECK(outcome.err == "tessera: " + damaged + ": is neither a JPEG nor a PNG image\n" +
                           "tessera: 1 of 5 images failed (see above)\n");
  CHECK(outcome.out.find("averaged over 4 images") != std::string::npos);
  CHECK(fs::exists(out));
}

}  // namespace tessera
