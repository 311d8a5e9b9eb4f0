// tessera table: the models of a paper, our numbers beside the published ones.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/table_rows.h"
#include "data/coco.h"
#include "train/named_config.h"
#include "train/progress.h"

namespace tessera {

namespace {

constexpr double kSecondsPerModel = 3;

bool lists(const PublishedTable& table, const std::string& config) {
  return std::ranges::find(table.models, config, &PublishedModel::config) != table.models.end();
}

// Adds the other configurations of the folder, without its subfolders, as a table of their own.
void add_unpublished(const std::string& folder, std::vector<PublishedTable>& tables) {
  PublishedTable rest = {.title = "Other configurations",
                         .input = tables[0].input,
                         .found = tables[0].found,
                         .usual_objects = tables[0].usual_objects};
  for (const std::string& name : config_names()) {
    if (!name.starts_with(folder + "/")) continue;
    const std::string last = name.substr(folder.size() + 1);
    const bool listed = std::ranges::any_of(tables, [&](const PublishedTable& table) { return lists(table, last); });
    if (!listed && last.find('/') == std::string::npos) rest.models.push_back({last});
  }
  if (!rest.models.empty()) tables.push_back(std::move(rest));
}

// Leaves the rows of these configurations, and the tables that have any.
void keep_only(const std::vector<std::string>& names, std::vector<PublishedTable>& tables) {
  for (const std::string& name : names)
    TESSERA_CHECK(std::ranges::any_of(tables, [&](const PublishedTable& table) { return lists(table, name); }),
                  "table: --only {}: there is no such row", name);
  for (PublishedTable& table : tables)
    std::erase_if(table.models,
                  [&](const PublishedModel& model) { return std::ranges::count(names, model.config) == 0; });
  std::erase_if(tables, [](const PublishedTable& table) { return table.models.empty(); });
}

// What the FLOPs of a table are counted at.
std::string counted_at(const PublishedTable& table, const std::vector<ImageSize>& sizes, const std::string& pictures) {
  std::string text;
  if (!pictures.empty())
    text = fmt::format("the mean over the {} pictures of {}", sizes.size(), pictures);
  else
    for (const ImageSize& size : sizes)
      text += fmt::format("{}{} x {}", text.empty() ? "at " : ", ", size.height, size.width);
  if (table.found) text += fmt::format(", {} objects of {} queries found", table.found->objects, table.found->queries);
  return text;
}

struct TableCommand {
  std::string name, json, pictures, plot;
  std::vector<std::string> sizes, only;
  i64 limit = 100, objects = 0, queries = 0;
  bool quick = false, latency = false;

  void run() const {
    check_outputs({json, plot}, {pictures});
    if (latency) return time_parts();
    std::vector<PublishedTable> tables = published_tables(name);
    add_unpublished(name, tables);
    if (!only.empty()) keep_only(only, tables);
    i64 total = 0;
    for (PublishedTable& table : tables) {
      total += std::ssize(table.models);
      if (objects > 0) table.found = Segmenter::Found{objects, queries > 0 ? queries : objects};
    }
    const std::vector<ImageSize> of_pictures = picture_sizes();
    std::map<std::string, Numbers> measured;  // by network and input: rows may differ in their training alone
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    std::vector<MeasuredTable> all;
    std::string text;
    Progress progress("table", 0, total);
    for (const PublishedTable& table : tables) {
      std::vector<TableRow>& rows = all.emplace_back(table, std::vector<TableRow>()).second;
      std::vector<ImageSize> inputs;
      for (const PublishedModel& published : table.models) {
        progress.update(std::ssize(list), published.config);
        const Config config = read_config(find_config(name + "/" + published.config));
        inputs = inputs_of(config, table, of_pictures);
        const std::string network = network_of(config, table);
        if (!measured.contains(network)) measured[network] = measure(config, table, inputs);
        const bool letterbox = config.input.resize == ResizeRule::kLetterbox;
        rows.push_back(
            {published, letterbox ? std::ranges::min(config.input.size) : config.input.shortest, measured[network]});
        list.push_back(table_json(table, rows.back()));
      }
      text += table_text(table, rows, counted_at(table, inputs, pictures));
    }
    progress.clear();
    fmt::print("{}", text);
    if (!json.empty()) write_output(json, list.dump(1) + "\n");
    if (plot.empty()) return;
    const std::vector<Chart> charts = accuracy_over_speed(all);
    TESSERA_CHECK(!charts.empty(), "table --plot: of none of these rows both AP and speed are known");
    write_output(plot, to_svg_file(charts));
  }

  void time_parts() const {
    const PublishedLatencies published = published_latencies(name);
    Config config = read_config(find_config(name + "/" + published.config));
    const std::unique_ptr<Segmenter> model = make_model(config.model, config.training.seed);
    nn::fuse_for_inference(*model);
    std::vector<Speed> ours;
    Progress progress("table", 0, std::ssize(published.rows));
    for (const PublishedLatencies::Row& row : published.rows) {
      progress.update(std::ssize(ours), fmt::format("{} at {}", published.config, row.shortest));
      config.input.shortest = row.shortest;
      ours.push_back(measure_speed(*model, measured_batch(config, std::nullopt), kSecondsPerModel));
    }
    progress.clear();
    fmt::print("{}", latency_text(published, ours));
    if (!json.empty()) write_output(json, latency_json(published, ours).dump(1) + "\n");
  }

  std::vector<ImageSize> picture_sizes() const {
    std::vector<ImageSize> found;
    if (pictures.empty()) return found;
    for (const CocoImage& image : load_image_list(pictures).images)
      if (limit == 0 || std::ssize(found) < limit) found.push_back({image.height, image.width});
    TESSERA_CHECK(!found.empty(), "{}: there are no images whose sizes could be counted", pictures);
    return found;
  }

  std::vector<ImageSize> inputs_of(const Config& config, const PublishedTable& table,
                                   std::vector<ImageSize> of_pictures) const {
    for (ImageSize& size : of_pictures) size = config.input.size_of(size);
    for (const std::string& size : sizes) of_pictures.push_back(parse_size(size));
    if (of_pictures.empty()) of_pictures.push_back(table.input);
    return of_pictures;
  }

  static std::string network_of(const Config& config, const PublishedTable& table) {
    Config plain;
    plain.model = config.model;
    plain.input = config.input;
    return fmt::format("{}{} {} {} {}", to_toml(plain), table.input.height, table.input.width,
                       table.found ? table.found->objects : 0, table.found ? table.found->queries : 0);
  }

  Numbers measure(const Config& config, const PublishedTable& table, const std::vector<ImageSize>& inputs) const {
    const std::unique_ptr<Segmenter> model = make_model(config.model, config.training.seed);
    model->given = table.found;
    Numbers numbers;
    numbers.modules = mean_work(*model, config, inputs);
    if (quick) return numbers;
    const Batch batch = measured_batch(config, std::nullopt);
    numbers.memory = measure_memory(*model, batch);
    nn::fuse_for_inference(*model);
    numbers.speed = measure_speed(*model, batch, kSecondsPerModel);
    if (table.usual_objects == 0) return numbers;
    model->given = Segmenter::Found{table.usual_objects, table.usual_objects};
    numbers.usual_speed = measure_speed(*model, batch, kSecondsPerModel);
    return numbers;
  }

  // Each size is run once, however many of the inputs have it.
  static std::vector<nn::ModuleRun> mean_work(Segmenter& model, const Config& config,
                                              const std::vector<ImageSize>& inputs) {
    std::map<std::pair<i64, i64>, i64> times;
    for (const ImageSize& size : inputs) ++times[{size.height, size.width}];
    std::vector<nn::ModuleRun> sums;
    for (const auto& [size, count] : times) {
      std::vector<nn::ModuleRun> runs =
          measure_modules(model, measured_batch(config, ImageSize{size.first, size.second}));
      for (size_t i = 0; i < runs.size(); ++i) {
        runs[i].work.published *= count, runs[i].work.multiply_adds *= count;
        if (!sums.empty()) sums[i].work += runs[i].work;
      }
      if (sums.empty()) sums = std::move(runs);
    }
    for (nn::ModuleRun& run : sums) {
      run.work.published /= std::ssize(inputs);
      run.work.multiply_adds /= std::ssize(inputs);
    }
    return sums;
  }
};

}  // namespace

void add_table(CLI::App& app) {
  CLI::App* table =
      app.add_subcommand("table", "Prints a paper's tables of models, with our numbers beside the published");
  const auto command = std::make_shared<TableCommand>();
  table->add_option("NAME", command->name, known_families(""))->required();
  table->add_option("--only", command->only, "configurations: leave out all other rows");
  table->add_flag("--quick", command->quick, "leave out speed and memory, which take most of the time");
  table->add_option("--size", command->sizes,
                    "HxW of a network's input; several: GFLOPs are their mean. Without it the paper's");
  table
      ->add_option("--pictures", command->pictures,
                   "COCO annotation file or image list: GFLOPs are the mean over the sizes of its images, each resized "
                   "as the configuration says")
      ->excludes("--size");
  table->add_option("--limit", command->limit, "take the first so many images of --pictures; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  table->add_option("--objects", command->objects, "objects found in a picture by a two-stage network; 0: the paper's")
      ->check(CLI::Range(0, 100000));
  table->add_option("--queries", command->queries, "... of so many queries; 0: each of its own")
      ->check(CLI::Range(0, 100000));
  CLI::Option* plot = table->add_option(
      "--plot", command->plot, "SVG file: published AP over the published and over the measured images per second");
  table
      ->add_flag(
          "--latency", command->latency,
          "in place of the tables how long each part of a network takes, beside the paper's Table 8 (sparseinst)")
      ->excludes(plot)
      ->excludes("--only")
      ->excludes("--quick")
      ->excludes("--size")
      ->excludes("--pictures");
  table->add_option("--json", command->json, "file for the table, as JSON");
  table->callback([command] { command->run(); });
}

}  // namespace tessera
