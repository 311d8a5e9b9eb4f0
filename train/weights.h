// Weights from files: our own checkpoints and those of other tools, into a model by name.
#pragma once

#include "nn/module.h"
#include "tensor/weights_file.h"
#include "train/config.h"
#include "train/weight_names.h"

namespace tessera {

// One of our checkpoints, or weights of another tool?
bool is_checkpoint(const WeightsFile& file);

// How weights were brought into a model.
struct LoadedWeights {
  nn::LoadReport report;
  NameRule names;                              // how the names of the file became the model's
  std::map<std::string, std::string> origins;  // the model's name -> the file's, of all tensors of the file

  // One line for each tensor of the model and for each that is left over: fits or what is wrong, names and shape. A
  // shape is the file's: of convolutions [O, I, H, W].
  std::string table(nn::Module& model, const WeightsFile& file) const;
};

// The tensors of a file and those of a model, under the names that make most of them the same.
struct NamedWeights {
  bool ours = false;                      // the file is one of our checkpoints
  std::vector<NamedTensor> tensors = {};  // under the file's names; of a checkpoint its averages where it has them
  NameRule names = {};
  std::map<std::string, std::string> origins = {};     // the model's name -> the file's
  std::map<std::string, Shape> model = {}, file = {};  // shapes as the file has them, by the model's names
};
NamedWeights name_weights(nn::Module& model, const WeightsFile& file, const std::string& prefix = "");

// Copies into the model what fits of the file: one of our checkpoints (its averaged weights where it has them), or
// tensors laid out as PyTorch lays them out, under any names that find_name_rule() knows. `prefix` as there. Under
// Strictness::kExact everything that does not fit is one error that lists it all.
LoadedWeights load_weights(nn::Module& model, const WeightsFile& file, nn::Strictness strictness,
                           const std::string& prefix = "");

// The model's tensors under the reference's names and in PyTorch's layout, for other tools.
std::vector<NamedTensor> reference_tensors(nn::Module& model);

}  // namespace tessera
