// A trained model taken from a checkpoint, ready for use:
//
//   const LoadedModel loaded = load("runs/mine");
//   for (const Instance& found : loaded.detect(load_image("photo.jpg"))) ...
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "train/checkpoint.h"
#include "train/config.h"

namespace tessera {

struct LoadedModel {
  CheckpointInfo info;
  Config config;
  std::unique_ptr<Segmenter> model;  // in evaluation mode

  // What it finds in one picture, u8 [H, W, 3] (load_image), which is resized as the configuration says.
  std::vector<Instance> detect(const Tensor& image) const;
};

// `path`: a checkpoint file, or the folder of a run (its best checkpoint, or else the latest). The model, its classes
// and its preprocessing come from the configuration stored in the checkpoint, or from `config_file` where one is given,
// changed by `overrides` ("a.b=value").
//
// Weights of another tool (train/weights.h) need `config_file`, and must fit its model exactly. Classes: as below.
LoadedModel load(const std::filesystem::path& path, const std::vector<std::string>& overrides = {},
                 const std::filesystem::path& config_file = {}, const std::string& annotations = "");

// The model that a configuration describes, with initial weights. Its classes are the categories of `annotations`, or
// of data.val_annotations; without both they are numbered from 1.
LoadedModel untrained_model(const std::vector<std::string>& overrides, const std::filesystem::path& config_file,
                            const std::string& annotations);

}  // namespace tessera
