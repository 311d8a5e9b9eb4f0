// Initial weights from a file.
#pragma once

#include "nn/module.h"
#include "train/config.h"

namespace tessera {

// Copies into the model what fits of config.init_weights: one of our checkpoints (its averaged weights where it has
// them), or a file with PyTorch's names and layout, whose names get config.init_prefix put before them. What is
// missing, left over or of another shape is told in the report; a file of which nothing fits is an error.
nn::LoadReport load_initial_weights(nn::Module& model, const TrainingConfig& config);

}  // namespace tessera
