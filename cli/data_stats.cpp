// tessera data stats: what is in a data set.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/commands.h"
#include "cli/data_stats_page.h"
#include "cli/measure.h"
#include "cli/output.h"
#include "data/cells.h"
#include "data/parallel.h"
#include "models/model.h"
#include "train/named_config.h"
#include "train/progress.h"
#include "train/sources.h"

namespace tessera {

namespace {

struct StatsCommand {
  std::vector<std::string> annotations, grids;
  std::string size = "416", json, page, config;
  i64 limit = 0;

  void run() {
    check_outputs({json, page}, {annotations.begin(), annotations.end()});
    read_limit();
    input_ = parse_size(size);
    for (const std::string& grid : grids) grids_.push_back({parse_size(grid)});
    if (grids.empty())
      for (i64 g = 4; g <= 20; ++g) grids_.push_back({{g, g}});
    for (const std::string& file : annotations) count_in(file);
    report_.grids = grid_lines();
    fmt::print("{}\n{}", report_.text(), report_.grids);
    if (!json.empty()) write_output(json, report_.json());
    if (!page.empty()) write_output(page, report_.page(fmt::format("{}", fmt::join(annotations, ", "))));
  }

 private:
  struct Grid {
    ImageSize cells;
    CellsTaken taken = {};
  };

  // What a model finds at most, as its configuration or --limit says.
  void read_limit() {
    if (limit > 0) report_.limit = {limit, "--limit"};
    if (config.empty()) return;
    const Config of_model = read_config(find_config(config));
    if (const auto most = make_model(of_model.model, of_model.training.seed)->object_limit())
      report_.limit = {most->objects, most->option};
    else
      fmt::print("{}: its model finds any number of objects\n", config);
  }

  void count_in(const std::string& file) {
    const auto dataset = load_data_set(file, "--annotations");
    const CocoSource source(dataset, {}, {.resize = ResizeRule::kLetterbox, .window = input_});
    report_.found.add(*dataset);
    if (const std::string left_out = source.left_out(); !left_out.empty()) fmt::print("{}: {}\n", file, left_out);
    pictures_ += source.size();
    for (i64 k = 0; k < source.size(); ++k) annotated_ += source.objects(k);
    Progress progress("objects", 0, source.size());
    for (i64 first = 0; first < source.size(); first += kAtOnce) {
      std::vector<PlacedObjects> placed(static_cast<size_t>(std::min(source.size() - first, kAtOnce)));
      parallel_for(std::ssize(placed), [&](i64 k) {
        placed[static_cast<size_t>(k)] = placed_objects(source.targets(0, first + k), input_);
      });
      for (const PlacedObjects& objects : placed) add(objects);
      progress.update(first + std::ssize(placed));
    }
  }

  void add(const PlacedObjects& objects) {
    objects_ += std::ssize(objects.boxes);
    most_ = std::max<i64>(most_, std::ssize(objects.boxes));
    for (const auto& [top, left, bottom, right] : objects.boxes) {
      log_height_ += std::log(double{bottom} - double{top});
      log_width_ += std::log(double{right} - double{left});
    }
    for (Grid& grid : grids_) {
      const CellsTaken taken = cells_taken(objects, grid.cells, input_);
      grid.taken.of_centre += taken.of_centre;
      grid.taken.any += taken.any;
    }
  }

  std::string grid_lines() const {
    TESSERA_CHECK(objects_ > 0, "data stats: no object has a pixel in a letterbox of {} x {}", input_.height,
                  input_.width);
    const double count = static_cast<double>(objects_);
    std::string text = fmt::format("{} pictures, {} objects, at most {} in one; in a letterbox of {} x {}\n", pictures_,
                                   objects_, most_, input_.height, input_.width);
    if (annotated_ > objects_)
      text += fmt::format("without a pixel at that size: {} objects more\n", annotated_ - objects_);
    text += "\n   grid   cells   centre's cell   a cell   without   log_side (mean)\n";
    for (const Grid& grid : grids_) {
      const auto& [height, width] = grid.cells;
      text += fmt::format("{:>7}  {:>6} {:>13.1f} % {:>6.1f} % {:>9}   [{:.2f}, {:.2f}]\n",
                          fmt::format("{} x {}", height, width), height * width,
                          100 * static_cast<double>(grid.taken.of_centre) / count,
                          100 * static_cast<double>(grid.taken.any) / count, objects_ - grid.taken.any,
                          log_height_ / count + std::log(static_cast<double>(height)),
                          log_width_ / count + std::log(static_cast<double>(width)));
    }
    return text;
  }

  static constexpr i64 kAtOnce = 64;
  StatisticsReport report_;
  ImageSize input_;
  std::vector<Grid> grids_;
  i64 pictures_ = 0, annotated_ = 0, objects_ = 0, most_ = 0;
  double log_height_ = 0, log_width_ = 0;  // sums, of fractions of the input
};

}  // namespace

void add_data_stats(CLI::App& data) {
  CLI::App* stats = data.add_subcommand(
      "stats",
      "Counts classes, objects per picture, their sizes, shapes and places, and how many find a cell in grids of which "
      "each cell finds one object (FASSST)");
  const auto command = std::make_shared<StatsCommand>();
  stats
      ->add_option(
          "--annotations", command->annotations,
          "annotation files of COCO, LVIS or COCO panoptic, or folders of Cityscapes; several are one data set")
      ->required();
  stats->add_option("--size", command->size, "HxW of the network's input, input.size")->capture_default_str();
  stats->add_option("--grid", command->grids, "HxW in cells, model.attention.grid; without it 4x4 to 20x20");
  CLI::Option* config = stats->add_option("--config", command->config,
                                          "configuration: in how many pictures are more objects than its model finds?");
  stats->add_option("--limit", command->limit, "the same of a model that finds so many")
      ->check(CLI::PositiveNumber)
      ->excludes(config);
  stats->add_option("--json", command->json, "file for all of it but the grids, as JSON");
  stats->add_option("--page", command->page, "HTML file, with charts");
  stats->callback([command] { command->run(); });
}

}  // namespace tessera
