// tessera data show: what there is to learn from, to look at: pictures as they are annotated, or as training sees them.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/picture.h"
#include "data/image.h"
#include "data/resize.h"
#include "tensor/random.h"
#include "train/named_config.h"
#include "train/progress.h"
#include "train/sources.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

constexpr i64 kLongest = 800;  // pixels of a picture on the page

constexpr const char* kStyle = R"(
:root { color-scheme: light dark }
body { font: 16px/1.4 system-ui, sans-serif; margin: 1rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem }
figure { margin: 0 }
img { width: 100% }
figcaption { overflow-wrap: anywhere })";

std::vector<std::string> class_names(const CocoDataset& dataset) {
  std::vector<std::string> names;
  for (const CocoCategory& category : dataset.categories) names.push_back(category.name);
  return names;
}

Tensor fitted(const Tensor& picture) {
  const ImageSize size{picture.dim(0), picture.dim(1)};
  if (std::max(size.height, size.width) <= kLongest) return picture;
  return resize_bilinear(picture, fitted_size(size, {kLongest, kLongest}));
}

// The objects of a sample, at the size that the network sees.
std::vector<Instance> instances_of(const Sample& sample) {
  std::vector<Instance> instances;
  for (i64 k = 0; k < sample.targets.count(); ++k) {
    const Tensor& masks = sample.targets.masks;
    const float* box = sample.targets.boxes.data<float>() + k * 4;
    Instance object = Instance::of_mask(sample.targets.classes.data<i64>()[k], 1,
                                        encode_rle(masks.rows(k, k + 1).reshape({masks.dim(1), masks.dim(2)})));
    object.box = {box[0], box[1], box[2] - box[0], box[3] - box[1]};
    instances.push_back(std::move(object));
  }
  return instances;
}

// The picture within its batch: what is padded has the colour that normalisation makes 0.
Tensor padded(const Tensor& picture, ImageSize size, const PixelStatistics& statistics) {
  Tensor result = Tensor::empty({size.height, size.width, 3}, DType::kU8);
  u8* to = result.data<u8>();
  for (i64 y = 0; y < size.height; ++y)
    for (i64 x = 0; x < size.width; ++x)
      for (i64 c = 0; c < 3; ++c)
        *to++ = y < picture.dim(0) && x < picture.dim(1)
                    ? picture.data<u8>()[(y * picture.dim(1) + x) * 3 + c]
                    : static_cast<u8>(std::lround(statistics.mean[static_cast<size_t>(c)]));
  return result;
}

struct DataShowCommand {
  std::string annotations, config_file;
  std::vector<std::string> overrides;
  fs::path images, out;
  i64 count = 24;
  u64 seed = 0;

  void run() {
    TESSERA_CHECK(config_file.empty() == !annotations.empty(),
                  "data show: either --annotations and --images, or --config");
    if (config_file.empty())
      show_annotated();
    else
      show_batches();
    const std::string title = config_file.empty() ? annotations : config_file;
    write_output(out, fmt::format("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
                                  "content=\"width=device-width\"><title>{0}</title><style>{1}</style><h1>{0}</h1>"
                                  "<p>{2}</p><main>{3}</main></html>\n",
                                  escape_html(title), kStyle, escape_html(summary_), figures_));
    fmt::print("{}: {}\n", out.string(), summary_);
  }

 private:
  void add(const Tensor& picture, const std::string& caption) {
    figures_ += fmt::format(
        "<figure><img alt=\"{0}\" src=\"data:image/png;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
        escape_html(caption), base64(encode_png(fitted(picture))));
  }

  void show_annotated() {
    const auto dataset = load_data_set(annotations, "--annotations");
    std::vector<i64> order(dataset->images.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<i64>(i);
    Random(seed).shuffle(std::span(order));
    order.resize(static_cast<size_t>(std::min(count, std::ssize(order))));
    std::ranges::sort(order);
    check_outputs({out}, {annotations});
    const std::vector<std::string> classes = class_names(*dataset);
    Progress progress("pictures", 0, std::ssize(order));
    i64 unreadable = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      const CocoImage& info = dataset->images[static_cast<size_t>(order[i])];
      try {
        const Tensor image = load_image(images / info.file_name);
        check_picture_size(info.file_name, {image.dim(0), image.dim(1)}, *dataset, order[i]);
        const std::vector<Instance> objects = annotated_instances(*dataset, order[i]);
        add(draw_instances(image, objects, classes, Label::kName),
            fmt::format("{}: {} x {}, {} objects", info.file_name, info.width, info.height, objects.size()));
      } catch (const Error& error) {
        ++unreadable;
        figures_ += fmt::format("<p>{}</p>\n", escape_html(error.what()));
      }
      progress.update(static_cast<i64>(i) + 1);
    }
    summary_ = fmt::format("{} of {} pictures, chosen by seed {}", order.size(), dataset->images.size(), seed);
    if (unreadable > 0) summary_ += fmt::format("; {} of them cannot be shown, the page says why", unreadable);
  }

  // The first batches of a training run.
  void show_batches() {
    std::vector<Setting> settings = read_settings(config_file);
    for (const std::string& text : overrides) settings.push_back(parse_override(text));
    const Config config = make_config(settings);
    const auto source = training_source(config);
    check_outputs({out}, {config_file, config.data.train_annotations});
    const std::vector<std::string> classes = class_names(source->dataset());
    Loader loader(source, loader_config(config, true));
    Progress progress("pictures", 0, count);
    i64 shown = 0, objects = 0, batches = 0;
    for (; shown < count; ++batches) {
      const Batch batch = loader.next().value();
      for (const Sample& sample : batch.samples) {
        if (shown == count) break;
        const Tensor drawn = draw_instances(sample.image, instances_of(sample), classes, Label::kName);
        const i64 factor = drawn.dim(0) / sample.image.dim(0);
        add(padded(drawn, {batch.padded.height * factor, batch.padded.width * factor}, batch.statistics),
            fmt::format("batch {}: {}, {} x {}, of {} x {} in a batch of {} x {}, {} objects", batches + 1,
                        sample.file.filename().string(), sample.image.dim(1), sample.image.dim(0),
                        sample.original.width, sample.original.height, batch.padded.width, batch.padded.height,
                        sample.targets.count()));
        objects += sample.targets.count();
        progress.update(++shown);
      }
    }
    summary_ = fmt::format("the first {} pictures of training, in {} batches of {}, with {} objects", shown, batches,
                           config.training.batch_size, objects);
    if (const std::string left_out = source->left_out(); !left_out.empty()) summary_ += "; " + left_out;
  }

  std::string figures_, summary_;
};

}  // namespace

void add_data_show(CLI::App& data) {
  CLI::App* show = data.add_subcommand(
      "show",
      "Writes a page of annotated pictures, or with --config of the first training batches as the network gets them: "
      "augmented, resized and padded");
  const auto command = std::make_shared<DataShowCommand>();
  CLI::Option* annotations = show->add_option(
      "--annotations", command->annotations, "annotation file of COCO, LVIS or COCO panoptic, or folder of Cityscapes");
  CLI::Option* images = show->add_option("--images", command->images, "folder of its pictures");
  annotations->needs(images);
  images->needs(annotations);
  CLI::Option* seed = show->add_option("--seed", command->seed, "another seed, other pictures")->capture_default_str();
  CLI::Option* config =
      show->add_option("--config", command->config_file, "configuration of a run, as `train` takes it")
          ->excludes(annotations)
          ->excludes(seed);
  show->add_option("--set", command->overrides, "option to change: section.key=value")
      ->allow_extra_args(false)
      ->needs(config);
  show->add_option("--count", command->count, "pictures on the page")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  show->add_option("--out", command->out, "the page")->required();
  show->callback([command] { command->run(); });
}

}  // namespace tessera
