// tessera data: the synthetic data set, and what there is to find in a data set.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/commands.h"
#include "cli/measure.h"
#include "data/cells.h"
#include "data/parallel.h"
#include "data/shapes.h"
#include "train/progress.h"
#include "train/sources.h"

namespace tessera {

namespace {

void write_shapes(const ShapesConfig& config) {
  Progress progress("shapes", 0, config.train + config.val);
  generate_shapes(config, [&](i64 done, i64) { progress.update(done); });
  progress.clear();
  fmt::print("{}: {} pictures to train on, {} to validate on\n", config.dir.string(), config.train, config.val);
}

struct StatsCommand {
  std::vector<std::string> annotations, grids;
  std::string size = "416";

  void run() {
    input_ = parse_size(size);
    for (const std::string& grid : grids) grids_.push_back({parse_size(grid)});
    if (grids.empty())
      for (i64 g = 4; g <= 20; ++g) grids_.push_back({{g, g}});
    for (const std::string& file : annotations) count_in(file);
    print();
  }

 private:
  struct Grid {
    ImageSize cells;
    CellsTaken taken = {};
  };

  void count_in(const std::string& file) {
    const CocoSource source(load_data_set(file, "--annotations"), {},
                            {.resize = ResizeRule::kLetterbox, .window = input_});
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

  void print() const {
    TESSERA_CHECK(objects_ > 0, "data stats: no object has a pixel in a letterbox of {} x {}", input_.height,
                  input_.width);
    const double count = static_cast<double>(objects_);
    fmt::print("{} pictures, {} objects, at most {} in one; in a letterbox of {} x {}\n", pictures_, objects_, most_,
               input_.height, input_.width);
    if (annotated_ > objects_) fmt::print("without a pixel at that size: {} objects more\n", annotated_ - objects_);
    fmt::print("\n   grid   cells   centre's cell   a cell   without   log_side (mean)\n");
    for (const Grid& grid : grids_) {
      const auto& [height, width] = grid.cells;
      fmt::print("{:>7}  {:>6} {:>13.1f} % {:>6.1f} % {:>9}   [{:.2f}, {:.2f}]\n",
                 fmt::format("{} x {}", height, width), height * width,
                 100 * static_cast<double>(grid.taken.of_centre) / count,
                 100 * static_cast<double>(grid.taken.any) / count, objects_ - grid.taken.any,
                 log_height_ / count + std::log(static_cast<double>(height)),
                 log_width_ / count + std::log(static_cast<double>(width)));
    }
  }

  static constexpr i64 kAtOnce = 64;
  ImageSize input_;
  std::vector<Grid> grids_;
  i64 pictures_ = 0, annotated_ = 0, objects_ = 0, most_ = 0;
  double log_height_ = 0, log_width_ = 0;  // sums, of fractions of the input
};

void add_stats(CLI::App& data) {
  CLI::App* stats = data.add_subcommand(
      "stats", "Tells how many objects find a cell, in grids of which each cell finds one object (FASSST)");
  const auto command = std::make_shared<StatsCommand>();
  stats
      ->add_option(
          "--annotations", command->annotations,
          "annotation files of COCO, LVIS or COCO panoptic, or folders of Cityscapes; several are one data set")
      ->required();
  stats->add_option("--size", command->size, "HxW of the network's input, input.size")->capture_default_str();
  stats->add_option("--grid", command->grids, "HxW in cells, model.attention.grid; without it 4x4 to 20x20");
  stats->callback([command] { command->run(); });
}

}  // namespace

void add_data(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Makes data sets, and looks at them");
  data->require_subcommand(1);
  CLI::App* shapes =
      data->add_subcommand("shapes", "Writes circles, rectangles and triangles as PNG files and COCO annotations");
  const auto config = std::make_shared<ShapesConfig>();
  shapes
      ->add_option("--out", config->dir,
                   "folder to write: train/, val/, instances_train.json, instances_val.json; or leftImg8bit/, gtFine/")
      ->required();
  shapes->add_flag_callback(
      "--fine", [config] { config->kind = ShapesKind::kFine; },
      "stars, gears and asterisks in their place: outlines that a coarse mask loses");
  CLI::Option* panoptic =
      shapes->add_flag("--panoptic", config->panoptic,
                       "also write panoptic_train.json and panoptic_val.json with their folders of PNGs: the ground is "
                       "stuff, of three kinds");
  shapes
      ->add_flag(
          "--cityscapes", config->cityscapes,
          "in the layout of Cityscapes: the eight classes by shape and filling, groups, pictures without objects")
      ->excludes(panoptic);
  shapes->add_option("--train", config->train, "pictures to train on")->capture_default_str();
  shapes->add_option("--val", config->val, "pictures to validate on")->capture_default_str();
  shapes->add_option("--size", config->size, "longest side in pixels")->capture_default_str();
  shapes->add_option("--seed", config->seed, "another seed, other pictures")->capture_default_str();
  shapes->callback([config] { write_shapes(*config); });
  add_stats(*data);
  add_data_check(*data);
  add_data_convert(*data);
  add_data_split(*data);
}

}  // namespace tessera
