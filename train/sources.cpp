#include "train/sources.h"

#include "data/cityscapes.h"
#include "data/panoptic.h"
#include "data/resize.h"

namespace tessera {

std::shared_ptr<const CocoDataset> load_data_set(const std::string& annotations, const char* option) {
  TESSERA_CHECK(!annotations.empty(), "{} is not set", option);
  return std::make_shared<const CocoDataset>(std::filesystem::is_directory(annotations) ? load_cityscapes(annotations)
                                             : is_panoptic(annotations) ? load_panoptic_dataset(annotations)
                                                                        : load_coco(annotations));
}

std::shared_ptr<const CocoSource> training_source(const Config& config) {
  return std::make_shared<const CocoSource>(load_data_set(config.data.train_annotations, "data.train_annotations"),
                                            config.data.train_images,
                                            CocoSourceConfig{.augment = config.augment.config(config.input),
                                                             .seed = config.training.seed,
                                                             .skip_empty = config.data.skip_empty,
                                                             .repeat_threshold = config.data.repeat_threshold});
}

std::shared_ptr<const CocoSource> inference_source(const std::shared_ptr<const CocoDataset>& dataset,
                                                   const std::filesystem::path& images, const Config& config) {
  return std::make_shared<const CocoSource>(dataset, images,
                                            CocoSourceConfig{.augment = std::nullopt,
                                                             .shortest = config.input.shortest,
                                                             .longest = config.input.longest,
                                                             .resize = config.input.resize,
                                                             .window = config.input.window(),
                                                             .targets = config.evaluation.loss});
}

Batch inference_batch(const Tensor& image, const Config& config) {
  std::vector<Sample> samples(1);
  samples[0].original = {image.dim(0), image.dim(1)};
  samples[0].image = resize_bilinear(image, config.input.size_of(samples[0].original));
  return make_batch(std::move(samples), config.input.statistics(), config.input.divisor, config.input.least());
}

LoaderConfig loader_config(const Config& config, bool training, Device device, const Communicator& communicator) {
  return {.batch_size = training ? config.training.batch_size : config.evaluation.batch_size,
          .training = training,
          .seed = config.training.seed,
          .group_by_aspect = config.data.group_by_aspect,
          .workers = static_cast<int>(config.data.workers),
          .prefetch = static_cast<int>(config.data.prefetch),
          .statistics = config.input.statistics(),
          .divisor = config.input.divisor,
          .least = config.input.least(),
          .device = device,
          .share = communicator.rank(),
          .shares = communicator.size()};
}

}  // namespace tessera
