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

constexpr ImageSize kFlopsInput = {640, 640};
constexpr double kSecondsPerModel = 3;

struct Row {
  PublishedModel published;
  i64 input = 0;  // shorter side
  nn::ModuleRun whole;
  std::optional<Speed> speed;
};

// Adds the other configurations of the folder, without its subfolders.
void add_unpublished(const std::string& folder, std::vector<PublishedModel>& models) {
  const auto known = [&](const std::string& name) {
    return std::any_of(models.begin(), models.end(), [&](const PublishedModel& model) { return model.config == name; });
  };
  for (const std::string& name : config_names()) {
    if (!name.starts_with(folder + "/")) continue;
    const std::string last = name.substr(folder.size() + 1);
    if (!known(last) && last.find('/') == std::string::npos) models.push_back({last});
  }
}

std::string figure(double value) {
  return value == kNotPublished ? "-" : fmt::format("{:.1f}", value);
}

std::string text_of(const std::vector<Row>& rows, const std::string& measured) {
  std::string text =
      fmt::format("{:<24}{:>6}{:>10}{:>10}{:>9} | {:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>7}\n", "ours", "input",
                  "params M", "GFLOPs", "images/s", "APval", "AP", "AP50", "AP75", "APs", "APm", "APl", "FPS");
  for (const Row& row : rows) {
    const PublishedModel& p = row.published;
    text += fmt::format(
        "{:<24}{:>6}{:>10.3f}{:>10.4f}{:>9} | {:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>6}{:>7}\n", p.config, row.input,
        static_cast<double>(row.whole.parameters) / 1e6, giga(static_cast<double>(row.whole.work.published)),
        row.speed ? fmt::format("{:.2f}", row.speed->images_per_second()) : "-", figure(p.ap_val), figure(p.ap),
        figure(p.ap50), figure(p.ap75), figure(p.aps), figure(p.apm), figure(p.apl), figure(p.fps));
  }
  return text + fmt::format("Right of the bar: published, {}. GFLOPs at 640 x 640, as the papers count.\n", measured);
}

nlohmann::ordered_json json_of(const std::vector<Row>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    const PublishedModel& p = row.published;
    nlohmann::ordered_json published = nlohmann::ordered_json::object();
    for (const auto& [name, value] : {std::pair{"APval", p.ap_val},
                                      {"AP", p.ap},
                                      {"AP50", p.ap50},
                                      {"AP75", p.ap75},
                                      {"APs", p.aps},
                                      {"APm", p.apm},
                                      {"APl", p.apl},
                                      {"FPS", p.fps}})
      if (value != kNotPublished) published[name] = value;
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
    PublishedTable table = published_models(name);
    add_unpublished(name, table.models);
    std::vector<Row> rows;
    Progress progress("table", 0, static_cast<i64>(table.models.size()));
    for (const PublishedModel& published : table.models) {
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
    fmt::print("{}", text_of(rows, table.measured));
    if (!json.empty()) write_output(json, json_of(rows).dump(1) + "\n");
  }
};

}  // namespace

void add_table(CLI::App& app) {
  CLI::App* table =
      app.add_subcommand("table", "Prints a paper's table of models, with our numbers beside the published");
  const auto command = std::make_shared<TableCommand>();
  table->add_option("NAME", command->name, known_families(""))->required();
  table->add_flag("--quick", command->quick, "leave out the speed, which takes most of the time");
  table->add_option("--json", command->json, "file for the table, as JSON");
  table->callback([command] { command->run(); });
}

}  // namespace tessera
