// The commands that tell a model's numbers, and those that draw.
#include "cli/measure.h"
#include "cli/precision_recall.h"
#include "data/image.h"
#include "data/noise.h"
#include "tests/cli/program.h"
#include "tests/models/tiny_effseg.h"
#include "tests/support/check_error.h"
#include "train/named_config.h"

namespace tessera {

using namespace test;

namespace {

nlohmann::json read_json(const fs::path& path) {
  return nlohmann::json::parse(read_file(path));
}

}  // namespace

TEST_CASE("named config: a file, a full name or the end of one; else an error with the nearest name") {
  const Workshop& w = workshop();
  CHECK(find_config(w.config.string()) == w.config);
  CHECK(find_config("sparseinst/r50_giam").filename() == "r50_giam.toml");
  CHECK(find_config("r50_giam") == find_config("sparseinst/r50_giam"));
  CHECK(find_config("iam_group2.toml") == find_config("sparseinst/ablations/iam_group2"));
  CHECK_ERROR(find_config("r50_gaim"),
              "r50_gaim: no such file or configuration; did you mean sparseinst/r50_giam? "
              "There are: ");
}

TEST_CASE("sizes: height x width or one number, and nothing else") {
  CHECK(parse_size("480x640") == ImageSize{480, 640});
  CHECK(parse_size("64") == ImageSize{64, 64});
  for (const char* bad : {"", "x", "64x", "x64", "64x64x64", "-64", "64 x 64", "2", "99999999999999999999"})
    CHECK_ERROR(parse_size(bad), "height x width is needed");
}

TEST_CASE("percentiles: between neighbours linear, of one value that value") {
  const Percentiles five = percentiles({5, 1, 4, 2, 3});
  CHECK(five.median == 3);
  CHECK(five.p10 == doctest::Approx(1.4));
  CHECK(five.p90 == doctest::Approx(4.6));
  CHECK(percentiles({7}).p90 == 7);
}

TEST_CASE("program: info tells a model's modules, parameters, FLOPs, memory and time, also as JSON") {
  const Workshop& w = workshop();
  const fs::path json = w.folder / "info.json";
  const Outcome outcome = run({"info", "--model", w.config.string(), "--size", "64x96", "--json", json.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  for (const char* part : {"64 x 96 pixels", "backbone.res2.0", "ResidualBlock", "trainable", "post-processing"})
    CHECK(outcome.out.find(part) != std::string::npos);
  const nlohmann::json info = read_json(json);
  CHECK(info["input"] == nlohmann::json({64, 96}));
  const nlohmann::json whole = info["modules"][0];
  CHECK(whole["parameters"] == info["parameters"]["total"]);
  CHECK(whole["flops"] == info["flops"]);
  CHECK(whole["output"] == nlohmann::json({1, 8, 16, 24}));
  i64 parameters = 0;
  for (const nlohmann::json& module : info["modules"])
    if (module["depth"] == 1) parameters += module["parameters"].get<i64>();
  CHECK(info["parameters"]["total"] == parameters);
  CHECK(info["parameters"]["trainable"] == parameters);
  CHECK(info["flops"] > info["multiply_adds"]);
  CHECK(info["memory"]["forward_bytes"] > 0);
  CHECK(info["memory"]["tape_bytes"] > 0);
  CHECK(info["speed"]["images_per_second"] > 0);
  check_fails({"info", "--model", "sparseinst_tinny"}, 1, "did you mean sparseinst/sparseinst_tiny?");
  check_fails({"info", "--model", w.config.string(), "--size", "many"}, 1, "height x width");
  check_fails({"info", "--json", "x"}, 2, "--model");
  CHECK(run({"info"}).out.find("devices    cpu ") != std::string::npos);
}

TEST_CASE("program: bench tells parts that add up to the whole, in the order of their percentiles") {
  const Workshop& w = workshop();
  const fs::path json = w.folder / "bench.json";
  const Outcome outcome = run({"bench", "--model", w.config.string(), "--size", "64", "--seconds", "0", "--threads",
                               "1", "--json", json.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.out.find("images per second (5 runs)") != std::string::npos);
  const nlohmann::json bench = read_json(json);
  CHECK(bench["threads"] == 1);
  CHECK(bench["runs"] == 5);
  const double median = bench["milliseconds"]["median"];
  CHECK(bench["images_per_second"].get<double>() == doctest::Approx(1000 / median));
  CHECK(bench["milliseconds"]["p10"] <= bench["milliseconds"]["median"]);
  CHECK(bench["milliseconds"]["median"] <= bench["milliseconds"]["p90"]);
  for (const char* part : {"backbone", "encoder", "decoder", "post-processing"})
    CHECK(bench["parts"][part]["median"] > 0);
  CHECK(bench["parts"].size() == 4);
  check_fails({"bench", "--model", w.config.string(), "--seconds", "-1"}, 2, "--seconds");
}

TEST_CASE("speed: all modules directly below the network are parts, also one that only hands on to what is below it") {
  const auto model = tiny_effseg();
  model->given = Segmenter::Found{.objects = 2, .queries = 2};
  const Batch batch = make_batch(noise_samples(1, {64, 64}, 1, 3));
  std::vector<std::string> names;
  for (const Speed::Part& part : measure_speed(*model, batch, 0).parts) names.push_back(part.name);
  CHECK(names == std::vector<std::string>{"backbone", "core", "heads.gvd", "heads.gvd.heads.2", "post-processing"});
}

TEST_CASE("program: maps draws a tile per query, whatever the number of images") {
  const Workshop& w = workshop();
  const fs::path out = w.folder / "pictures" / "maps.png";
  const Outcome outcome = run({"maps", "--checkpoint", trained(), "--out", out.string(), "--size", "20",
                               (w.folder / "shapes" / "val").string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.out.find("the maps of 8 queries, averaged over 4 images") != std::string::npos);
  CHECK(image_size(out) == ImageSize{3 * 20 + 2 * 4, 3 * 20 + 2 * 4});  // 3 x 3 places for 8 tiles
}

TEST_CASE("program: predict draws annotations beside predictions, and its results have the annotations' image ids") {
  const Workshop& w = workshop();
  const std::string annotations = (w.folder / "shapes" / "instances_val.json").string();
  const fs::path plain = w.folder / "plain", both = w.folder / "both", val = w.folder / "shapes" / "val";
  REQUIRE(run({"predict", "--checkpoint", trained(), "--out", plain.string(), val.string()}).code == 0);
  const Outcome outcome = run({"predict", "--checkpoint", trained(), "--out", both.string(), "--annotations",
                               annotations, "--maps", "--threshold", "0", "--limit", "2", val.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const fs::path name = fs::path(read_json(annotations)["images"][0]["file_name"].get<std::string>()).stem();
  const ImageSize one = image_size(plain / (name.string() + ".png"));
  CHECK(image_size(both / (name.string() + ".png")) == ImageSize{one.height, 2 * one.width + 4});
  CHECK(image_size(both / (name.string() + "-map00.png")) == image_size(val / (name.string() + ".png")));
  CHECK(run({"score", "--annotations", annotations, "--results", (both / "results.json").string(), "--metric",
             "coco-segm"})
            .code == 0);
  const auto fails = [&](const std::string& picture, const std::string& part) {
    check_fails({"predict", "--checkpoint", trained(), "--out", both.string(), "--annotations", annotations,
                 (w.folder / "shapes" / "train" / picture).string()},
                1, part);
  };
  fails("000012.png", "has no image of this name");
  fails("000001.png", "pixels, but ");  // another picture of the same name
}

TEST_CASE("program: table counts at the mean of the sizes that it is given, also those of an image list") {
  const Workshop& w = workshop();
  const fs::path json = w.folder / "table.json", list = w.folder / "list.json";
  const auto flops = [&](const Arguments& more) {
    Arguments all = {"table", "effseg", "--quick", "--only", "tiny_shapes", "--objects", "4", "--json", json.string()};
    all.insert(all.end(), more.begin(), more.end());
    const Outcome outcome = run(all);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(outcome.out.find("tiny_shapes") != std::string::npos);
    CHECK(outcome.out.find("4 objects of 4 queries found") != std::string::npos);
    const nlohmann::json rows = read_json(json);
    REQUIRE(rows.size() == 1);
    return rows[0]["flops"].get<i64>();
  };
  const i64 small = flops({"--size", "128x64"}), large = flops({"--size", "128"});
  CHECK(small < large);
  CHECK(flops({"--size", "128x64", "--size", "128", "--size", "128"}) == (small + 2 * large) / 3);
  // The configuration makes the longer side 128.
  write_file(list, R"({"images": [{"id": 1, "file_name": "a.png", "height": 10, "width": 10},
                                  {"id": 2, "file_name": "b.png", "height": 256, "width": 128}]})");
  CHECK(flops({"--pictures", list.string()}) == (small + large) / 2);
  CHECK(flops({"--pictures", list.string(), "--limit", "1"}) == large);
  check_fails({"table", "effseg", "--quick", "--only", "tiny"}, 1, "table: --only tiny: there is no such row");
}

TEST_CASE("program: table knows its tables") {
  check_fails({"table", "yolo"}, 1, "there is no table \"yolo\"; sparseinst");
}

TEST_CASE("curves: one per overlap threshold, with the average precision that the evaluator tells") {
  const Workshop& w = workshop();
  const CocoDataset truth = load_coco(w.folder / "shapes" / "instances_val.json");
  std::vector<Detection> found;
  for (const CocoAnnotation& annotation : truth.annotations) {  // every other object, and as often a wrong one
    const i64 category = found.size() % 2 == 0 ? annotation.category_id : annotation.category_id % 3 + 1;
    const CocoImage& image = truth.images[static_cast<size_t>(truth.image_index.at(annotation.image_id))];
    found.push_back({.image_id = annotation.image_id,
                     .category_id = category,
                     .score = 1 / static_cast<double>(found.size() + 1),
                     .bbox = annotation.bbox,
                     .segmentation = annotation_mask(annotation, image.height, image.width)});
  }
  const ApResult result = evaluate_coco(truth, found, ApTask::kSegm);
  const Chart mean = precision_recall_chart(result);
  REQUIRE(mean.series.size() == 10);
  CHECK(mean.series[0].x.size() == 101);
  CHECK(mean.series[0].name == fmt::format("IoU 0.50: {:.3f}", result.stats[1]));
  CHECK(mean.series[5].name == fmt::format("IoU 0.75: {:.3f}", result.stats[2]));
  const size_t category = static_cast<size_t>(truth.class_index.at(truth.annotations[0].category_id));
  const Chart one = precision_recall_chart(result, category);
  REQUIRE(one.series.size() == 10);
  CHECK(one.series[0].name == fmt::format("IoU 0.50: {:.3f}", result.per_category[category].ap50));

  const fs::path folder = w.folder / "curves";
  write_precision_recall(folder / "mean.svg", result);
  CHECK(read_file(folder / "mean.svg").starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  write_precision_recall(folder / "all.html", result);
  const std::string page = read_file(folder / "all.html");
  CHECK(page.find(">segm: precision over recall, " + truth.categories[category].name + "<") != std::string::npos);
  CHECK_ERROR(write_precision_recall(folder / "x.svg", result, "horse"), "there is no category \"horse\"; ");
  CHECK_ERROR(write_precision_recall(folder / "x.png", result), "must end in .svg or .html");
}

}  // namespace tessera
