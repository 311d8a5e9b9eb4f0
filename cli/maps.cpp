// tessera maps: where each query of a network looks, on average over many images (SparseInst's Figure 6).
#include <cmath>
#include <memory>
#include <optional>

#include "cli/activation_maps.h"
#include "cli/commands.h"
#include "cli/image_files.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "data/draw.h"
#include "data/image.h"
#include "ops/pointwise.h"
#include "train/progress.h"
#include "train/sources.h"

namespace tessera {

namespace {

struct MapsCommand {
  ModelOptions model;
  std::string out;
  std::vector<std::string> images;
  i64 limit = 0, size = 96;

  void run() const {
    const std::vector<std::filesystem::path> files = image_files(images, limit);
    std::vector<std::filesystem::path> inputs = model.files();
    inputs.insert(inputs.end(), files.begin(), files.end());
    check_outputs({out}, inputs);
    const LoadedModel loaded = model.load();
    check_activation_maps(*loaded.model, "maps");
    // Of the maps of each query, all at one size.
    std::vector<Tensor> sums(static_cast<size_t>(loaded.model->activation_map_count()));
    FailedImages failed;
    Progress progress("maps", 0, static_cast<i64>(files.size()));
    for (size_t i = 0; i < files.size(); ++i) {
      std::optional<ActivationMaps> maps;
      try {
        maps.emplace(*loaded.model, inference_batch(load_image(files[i]), loaded.config));
      } catch (const std::exception& error) {
        progress.clear();
        failed.add(files[i], error);
        continue;
      }
      for (size_t q = 0; q < sums.size(); ++q) {
        const Tensor map = maps->map(static_cast<i64>(q), {size, size});
        sums[q] = sums[q] ? ops::add(sums[q], map) : map;
      }
      progress.update(static_cast<i64>(i) + 1, files[i].filename().string());
    }
    progress.clear();
    const i64 total = static_cast<i64>(files.size()), used = total - failed.count();
    if (used > 0) {
      write_output(out, encode_png(picture(sums)));
      fmt::print("{}: the maps of {} queries, averaged over {} images\n", out, sums.size(), used);
    }
    failed.check(total);
  }

  // One tile per query, each from black (nothing) to white (its highest value), with its number: about a square.
  Tensor picture(const std::vector<Tensor>& maps) const {
    std::vector<Tensor> tiles;
    for (size_t q = 0; q < maps.size(); ++q) {
      Tensor tile = heat_map(Tensor::zeros({size, size, 3}, DType::kU8), maps[q]);
      draw_text(tile, 0, 0, fmt::format("{}", q), 12, {40, 40, 40});
      tiles.push_back(std::move(tile));
    }
    return tiled(tiles, static_cast<i64>(std::ceil(std::sqrt(static_cast<double>(tiles.size())))));
  }
};

}  // namespace

void add_maps(CLI::App& app) {
  CLI::App* maps = app.add_subcommand(
      "maps", "Draws where each query of a SparseInst looks: its activation map, averaged over images");
  const auto command = std::make_shared<MapsCommand>();
  command->model.add(*maps);
  maps->add_option("--out", command->out, "PNG file to write: a tile per query")->required();
  maps->add_option("images", command->images, "image files, or folders of them")->required();
  maps->add_option("--size", command->size, "side of a tile in pixels")
      ->capture_default_str()
      ->check(CLI::Range(16, 1024));
  maps->add_option("--limit", command->limit, "stop after this many images; 0: all")->capture_default_str();
  maps->callback([command] { command->run(); });
}

}  // namespace tessera
