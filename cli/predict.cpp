// tessera predict: pictures with masks, boxes, names and scores, and the results as COCO JSON.
#include <algorithm>
#include <cmath>
#include <memory>

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "cli/commands.h"
#include "cli/loaded_model.h"
#include "cli/picture.h"
#include "data/draw.h"
#include "data/image.h"
#include "models/sparseinst/sparseinst.h"
#include "train/progress.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

struct PredictOptions {
  std::string checkpoint, config, out;
  std::vector<std::string> images, overrides;
  double threshold = 0.4;
  i64 limit = 0;
  bool maps = false;
};

// Files as they are; of folders the JPEG and PNG files, by name.
std::vector<fs::path> expand(const std::vector<std::string>& arguments) {
  std::vector<fs::path> files;
  for (const std::string& argument : arguments) {
    if (!fs::is_directory(argument)) {
      files.emplace_back(argument);
      continue;
    }
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(argument)) {
      std::string extension = entry.path().extension().string();
      std::transform(extension.begin(), extension.end(), extension.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      if (extension == ".jpg" || extension == ".jpeg" || extension == ".png") found.push_back(entry.path());
    }
    TESSERA_CHECK(!found.empty(), "{}: the folder holds no JPEG or PNG file", argument);
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

// The activation map of each drawn instance over the image (of a group decoder: the mean of its groups), best first.
void save_maps(SparseInst& model, const Batch& batch, const Tensor& image, const std::vector<Instance>& instances,
               const fs::path& stem) {
  const NoGrad no_grad;
  nn::Taps taps;
  model.forward(Var(batch.images), &taps);
  TESSERA_CHECK(taps.contains("iam_logits"), "predict: --maps needs a decoder with instance activation maps");
  const Tensor& logits = taps.at("iam_logits");  // [1, h, w, G * Q]
  const i64 queries = model.config().num_masks, channels = logits.dim(3), pixels = logits.dim(1) * logits.dim(2);
  const auto [height, width] = batch.size_of(0);
  for (size_t i = 0; i < instances.size(); ++i) {
    Tensor map = Tensor::zeros({1, logits.dim(1), logits.dim(2), 1});
    for (i64 p = 0; p < pixels; ++p)
      for (i64 c = instances[i].query; c < channels; c += queries)
        map.data<float>()[p] += 1 / (1 + std::exp(-logits.data<float>()[p * channels + c]));
    map = interpolate(Var(map), batch.images.dim(1), batch.images.dim(2), ops::Interpolation::kBilinear).value();
    map = slice(slice(Var(map), 1, 0, height), 2, 0, width).value();  // without the padding
    map = interpolate(Var(map), image.dim(0), image.dim(1), ops::Interpolation::kBilinear).value();
    save_png(fs::path(stem.string() + fmt::format("-map{:02}.png", i)),
             heat_map(image, map.reshape({image.dim(0), image.dim(1)})));
  }
}

void predict(const PredictOptions& options) {
  const std::vector<fs::path> all = expand(options.images);
  const std::vector<fs::path> files(
      all.begin(),
      options.limit > 0 ? all.begin() + std::min<i64>(options.limit, static_cast<i64>(all.size())) : all.end());
  const LoadedModel loaded = load_model(options.checkpoint, options.overrides, options.config);
  fs::create_directories(options.out);

  std::vector<Detection> results;
  Progress progress("predict", 0, static_cast<i64>(files.size()));
  for (size_t i = 0; i < files.size(); ++i) {
    const Tensor image = load_image(files[i]);
    const Batch batch = loaded.batch_of(image);
    std::vector<Instance> instances = loaded.model->detect(batch).at(0);
    for (const Instance& instance : instances)
      results.push_back({static_cast<i64>(i) + 1,
                         loaded.info.category_ids.at(static_cast<size_t>(instance.class_index)), instance.score,
                         rle_bbox(instance.mask), instance.mask});
    std::stable_sort(instances.begin(), instances.end(),
                     [](const Instance& a, const Instance& b) { return a.score > b.score; });
    std::erase_if(instances, [&](const Instance& instance) { return instance.score < options.threshold; });
    const fs::path stem = fs::path(options.out) / files[i].stem();
    save_png(stem.string() + ".png", draw_instances(image, instances, loaded.info.classes, Label::kNameAndScore));
    if (options.maps) {
      auto* sparseinst = dynamic_cast<SparseInst*>(loaded.model.get());
      TESSERA_CHECK(sparseinst, "predict: --maps needs a SparseInst model, this one is {}", loaded.config.model.name);
      save_maps(*sparseinst, batch, image, instances, stem);
    }
    progress.update(static_cast<i64>(i) + 1, files[i].filename().string());
  }
  progress.clear();
  save_results(fs::path(options.out) / "results.json", results);
  fmt::print("{} pictures and results.json ({} objects) in {}\n", files.size(), results.size(), options.out);
}

}  // namespace

void add_predict(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command = app.add_subcommand("predict", "Finds objects in images: pictures with masks, and COCO results");
  command
      ->add_option(
          "--checkpoint", options->checkpoint,
          "checkpoint file, or the folder of a run (its best checkpoint); with --config also weights of PyTorch")
      ->required();
  command->add_option("--config", options->config, "configuration in place of the stored one");
  command
      ->add_option("--out", options->out,
                   "folder for the pictures and results.json (image ids count the images from 1)")
      ->required();
  command->add_option("images", options->images, "image files, or folders of them")->required();
  command->add_option("--threshold", options->threshold, "draw objects of at least this score; results.json holds all")
      ->capture_default_str();
  command->add_option("--limit", options->limit, "stop after this many images; 0: all")->capture_default_str();
  command->add_option("--set", options->overrides, "a.b=value: change an option of the stored configuration")
      ->allow_extra_args(false);
  command->add_flag("--maps", options->maps, "also save the instance activation maps as pictures");
  command->callback([options] { predict(*options); });
}

}  // namespace tessera
