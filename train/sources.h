// The pictures of a run and their annotations: the one place that makes them, for training, evaluation and prediction.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/coco_source.h"
#include "train/communicator.h"
#include "train/config.h"

namespace tessera {

// An annotation file of COCO, LVIS or COCO panoptic, or a folder of Cityscapes (gtFine/train). `option` is what names
// it, for messages.
std::shared_ptr<const CocoDataset> load_data_set(const std::string& annotations, const char* option);

// [data] train_annotations and train_images, augmented as [augment] says.
std::shared_ptr<const CocoSource> training_source(const Config& config);

// The pictures of a data set as evaluation and prediction see them: resized as [input] says. With targets where
// evaluation.loss asks for losses.
std::shared_ptr<const CocoSource> inference_source(const std::shared_ptr<const CocoDataset>& dataset,
                                                   const std::filesystem::path& images, const Config& config);
// One such picture, u8 [H, W, 3], in a batch of its own.
Batch inference_batch(const Tensor& image, const Config& config);

// How a loader makes batches of a source, for a model on that device; this process's share of them.
LoaderConfig loader_config(const Config& config, bool training, Device device = {},
                           const Communicator& communicator = single_process());

}  // namespace tessera
