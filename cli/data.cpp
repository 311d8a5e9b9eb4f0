// tessera data: the synthetic data set, and the commands about data sets.
#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "data/shapes.h"
#include "train/progress.h"

namespace tessera {

namespace {

void write_shapes(const ShapesConfig& config) {
  Progress progress("shapes");
  generate_shapes(config, progress.counted());
  progress.clear();
  fmt::print("{}: {} pictures to train on, {} to validate on\n", config.dir.string(), config.train, config.val);
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
  add_data_stats(*data);
  add_data_check(*data);
  add_data_convert(*data);
  add_data_split(*data);
  add_data_show(*data);
}

}  // namespace tessera
