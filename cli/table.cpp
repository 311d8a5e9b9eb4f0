// tessera table: the models of a paper, our numbers beside the published ones.
#include <algorithm>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/model_report.h"
#include "cli/output.h"
#include "train/named_config.h"
#include "train/progress.h"

namespace tessera {

namespace {

constexpr double kNone = -1;  // not published
constexpr ImageSize kFlopsInput = {640, 640};
constexpr double kSecondsPerModel = 3;

// AP in percent: of val2017 in the authors' README, the others of test-dev. Images per second on one RTX 2080 Ti.
struct Published {
  std::string config;
  double ap_val = kNone, ap = kNone, ap50 = kNone, ap75 = kNone, aps = kNone, apm = kNone, apl = kNone, fps = kNone;
};
// SparseInst, Table 1 (those with AP50) and the model list of the authors' repository.
const Published kSparseInst[] = {
    {"r50_base", 32.8, 33.2, kNone, kNone, kNone, kNone, kNone, 44.3},
    {"r50vd_base", 34.1, 34.5, kNone, kNone, kNone, kNone, kNone, 42.6},
    {"r50_giam", 33.4, 34.0, kNone, kNone, kNone, kNone, kNone, 44.6},
    {"r50_giam_soft", 33.6, kNone, kNone, kNone, kNone, kNone, kNone, 44.6},
    {"r50_giam_aug", 34.2, 34.7, 55.3, 36.6, 14.3, 36.2, 50.7, 44.6},
    {"r50_dcn_giam_aug", 36.4, 36.8, 57.6, 38.9, 15.0, 38.2, 55.2, 41.6},
    {"r50vd_giam_aug", 35.6, 36.1, 57.0, 38.2, 15.0, 37.7, 53.1, 42.8},
    {"r50vd_dcn_giam_aug", 37.4, 37.9, 59.2, 40.2, 15.7, 39.4, 56.9, 40.0},
    {"r50vd_dcn_giam_aug_448", kNone, 35.5, kNone, kNone, kNone, kNone, kNone, 58.5},
    {"r101_giam", 34.9, 35.5},
    {"r101_dcn_giam", 36.4, 36.9},
};

struct Row {
  Published published;
  i64 input = 0;  // shorter side
  nn::ModuleRun whole;
  std::optional<Speed> speed;
};

// The published models in the paper's order, then the other configurations of the folder, without its subfolders.
std::vector<Published> models_of(const std::string& folder) {
  std::vector<Published> models(std::begin(kSparseInst), std::end(kSparseInst));
  const auto known = [&](const std::string& name) {
    return std::any_of(models.begin(), models.end(), [&](const Published& model) { return model.config == name; });
  };
  for (const std::string& name : config_names()) {
    if (!name.starts_with(folder + "/")) continue;
    const std::string last = name.substr(folder.size() + 1);
    if (!known(last) && last.find('/') == std::string::npos) models.push_back({last});
  }
  return models;
}

std::string figure(double value) {
  return value == kNone ? "-" : fmt::format("{:.1f}", value);
}

std::string text_of(const std::vector<Row>& rows) {
  std::string text =
      fmt::format("{:<24}{:>6}{:>10}{:>10}{:>9} | {:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>7}\n", "ours", "input",
                  "params M", "GFLOPs", "images/s", "APval", "AP", "AP50", "AP75", "APs", "APm", "APl", "FPS");
  for (const Row& row : rows) {
    const Published& p = row.published;
    text += fmt::format(
        "{:<24}{:>6}{:>10.3f}{:>10.4f}{:>9} | {:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>7}\n", p.config, row.input,
        static_cast<double>(row.whole.parameters) / 1e6, giga(static_cast<double>(row.whole.work.published)),
        row.speed ? fmt::format("{:.2f}", row.speed->images_per_second()) : "-", figure(p.ap_val), figure(p.ap),
        figure(p.ap50), figure(p.ap75), figure(p.aps), figure(p.apm), figure(p.apl), figure(p.fps));
  }
  return text +
         "Right of the bar: published, COCO test-dev (APval: val2017), FPS on one RTX 2080 Ti. GFLOPs at 640 x 640, as "
         "the papers count.\n";
}

nlohmann::ordered_json json_of(const std::vector<Row>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    const Published& p = row.published;
    nlohmann::ordered_json published = nlohmann::ordered_json::object();
    for (const auto& [name, value] : {std::pair{"APval", p.ap_val},
                                      {"AP", p.ap},
                                      {"AP50", p.ap50},
                                      {"AP75", p.ap75},
                                      {"APs", p.aps},
                                      {"APm", p.apm},
                                      {"APl", p.apl},
                                      {"FPS", p.fps}})
      if (value != kNone) published[name] = value;
    list.push_back({{"config", p.config},
                    {"input", row.input},
                    {"parameters", row.whole.parameters},
                    {"flops", row.whole.work.published},
                    {"multiply_adds", row.whole.work.multiply_adds},
                    {"published", published}});
    if (row.speed) list.back()["speed"] = speed_json(*row.speed);
  }
  return list;
}

struct TableCommand {
  std::string name, json;
  bool quick = false;

  void run() const {
    TESSERA_CHECK(name == "sparseinst", "table: there is no table \"{}\"; sparseinst", name);
    const std::vector<Published> models = models_of(name);
    std::vector<Row> rows;
    Progress progress("table", 0, static_cast<i64>(models.size()));
    for (const Published& published : models) {
      progress.update(static_cast<i64>(rows.size()), published.config);
      const Config config = read_config(find_config(name + "/" + published.config));
      const std::unique_ptr<Segmenter> model = make_model(config.model, config.training.seed);
      Row& row = rows.emplace_back(Row{published, config.input.shortest, {}, {}});
      row.whole = measure_modules(*model, measured_batch(config, kFlopsInput)).front();
      if (quick) continue;
      nn::fuse_for_inference(*model);
      row.speed = measure_speed(*model, measured_batch(config, std::nullopt), kSecondsPerModel);
    }
    progress.clear();
    fmt::print("{}", text_of(rows));
    if (!json.empty()) write_output(json, json_of(rows).dump(1) + "\n");
  }
};

}  // namespace

void add_table(CLI::App& app) {
  CLI::App* table =
      app.add_subcommand("table", "Prints a paper's table of models, with our numbers beside the published");
  const auto command = std::make_shared<TableCommand>();
  table->add_option("NAME", command->name, "sparseinst")->required();
  table->add_flag("--quick", command->quick, "leave out the speed, which takes most of the time");
  table->add_option("--json", command->json, "file for the table, as JSON");
  table->callback([command] { command->run(); });
}

}  // namespace tessera
