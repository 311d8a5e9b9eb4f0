// tessera data show: what there is to learn from, to look at: pictures as they are annotated, or as training sees them.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/page.h"
#include "cli/panels.h"
#include "cli/picture.h"
#include "data/image.h"
#include "train/named_config.h"
#include "train/progress.h"
#include "train/sources.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

// The targets of a sample, at the size that the network sees.
std::vector<PanelObject> target_objects(const CocoDataset& dataset, const Targets& targets) {
  std::vector<PanelObject> objects;
  for (i64 k = 0; k < targets.count(); ++k) {
    const float* box = targets.boxes.data<float>() + k * 4;
    const i64 class_index = targets.classes.data<i64>()[k];
    objects.push_back(
        {.name = dataset.categories[static_cast<size_t>(class_index)].name,
         .class_index = class_index,
         .object = k,
         .mask = encode_rle(targets.masks.rows(k, k + 1).reshape({targets.masks.dim(1), targets.masks.dim(2)})),
         .box = XywhBox{box[0], box[1], box[2] - box[0], box[3] - box[1]}});
  }
  return objects;
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
    write_output(
        out,
        html_page(title, summary_,
                  std::vector<PageSection>{{"pictures", "Pictures",
                                            layer_form(classes_) + "<h3>" +
                                                (config_file.empty() ? "As annotated" : "As the network gets them") +
                                                "</h3><div class=\"gallery\">" + panels_ + "</div>"}}));
    fmt::print("{}: {}\n", out.string(), summary_);
  }

 private:
  void add(const Tensor& image, const std::string& title, const std::string& text, std::vector<PanelObject> objects) {
    const std::string caption = counted_objects(objects);
    panels_ += picture_panels(image, title, text, {{"truth", caption, std::move(objects)}}, number_++);
  }

  void show_annotated() {
    const auto dataset = load_data_set(annotations, "--annotations");
    classes_ = std::ssize(dataset->categories);
    std::vector<i64> order(dataset->images.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<i64>(i);
    Random(seed).shuffle(std::span(order));
    order.resize(static_cast<size_t>(std::min(count, std::ssize(order))));
    std::ranges::sort(order);
    check_outputs({out}, {annotations});
    Progress progress("pictures", 0, std::ssize(order));
    i64 unreadable = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      const CocoImage& info = dataset->images[static_cast<size_t>(order[i])];
      try {
        const Tensor image = load_image(images / info.file_name);
        check_picture_size(info.file_name, {image.dim(0), image.dim(1)}, *dataset, order[i]);
        add(image, info.file_name, fmt::format("{} x {}", info.width, info.height),
            annotated_objects(*dataset, order[i]));
      } catch (const Error& error) {
        ++unreadable;
        panels_ += fmt::format("<p>{}</p>\n", escape_html(error.what()));
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
    classes_ = std::ssize(source->dataset().categories);
    Loader loader(source, loader_config(config, true));
    Progress progress("pictures", 0, count);
    i64 shown = 0, objects = 0, batches = 0;
    for (; shown < count; ++batches) {
      const Batch batch = loader.next().value();
      for (const Sample& sample : batch.samples) {
        if (shown == count) break;
        add(padded(sample.image, batch.padded, batch.statistics),
            fmt::format("batch {}: {}", batches + 1, sample.file.filename().string()),
            fmt::format("{} x {}, of {} x {}, in a batch of {} x {}", sample.image.dim(1), sample.image.dim(0),
                        sample.original.width, sample.original.height, batch.padded.width, batch.padded.height),
            target_objects(source->dataset(), sample.targets));
        objects += sample.targets.count();
        progress.update(++shown);
      }
    }
    summary_ = fmt::format("the first {} pictures of training, in {} batches of {}, with {} objects", shown, batches,
                           config.training.batch_size, objects);
    if (const std::string left_out = source->left_out(); !left_out.empty()) summary_ += "; " + left_out;
  }

  std::string panels_, summary_;
  i64 number_ = 0, classes_ = 0;
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
