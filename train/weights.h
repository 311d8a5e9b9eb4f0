// Models with weights: initial ones from a file, and whole models from a checkpoint.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint.h"
#include "train/config.h"

namespace tessera {

// Copies into the model what fits of config.init_weights: one of our checkpoints (its averaged weights where it has
// them), or a file with PyTorch's names and layout, whose names get config.init_prefix put before them. What is
// missing, left over or of another shape is told in the report; a file of which nothing fits is an error.
nn::LoadReport load_initial_weights(nn::Module& model, const TrainingConfig& config);

struct TrainedModel {
  Config config;
  CheckpointInfo info;               // classes, category ids, step
  std::unique_ptr<Segmenter> model;  // in evaluation mode
};

// A checkpoint's model, ready to use. `checkpoint` is a file, or a run's folder (its best, else its latest). The
// configuration is the stored one unless a file is given; `overrides` are "a.b=value".
TrainedModel load_trained_model(const std::filesystem::path& checkpoint,
                                const std::optional<std::filesystem::path>& config_file = std::nullopt,
                                const std::vector<std::string>& overrides = {});

}  // namespace tessera
