// Files of weights, whoever wrote them: safetensors, PyTorch's .pth and .pt, detectron2's .pkl. Told apart by their
// first bytes. Nothing in them is ever executed.
//
// Both of PyTorch's formats: a zip archive (1.6 and later), and pickles one after the other (before). Of a training
// checkpoint the weights alone are read (tensor/pickled_tensors.h).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensor/safetensors.h"

namespace tessera {

struct WeightsFile {
  std::filesystem::path path;
  std::vector<NamedTensor> tensors;             // views of the mapped file where they lie contiguous in it
  std::map<std::string, std::string> metadata;  // of safetensors
};

// Throws Error naming the file: damaged or truncated, without tensors, or a pickle that asks for anything but tensors.
WeightsFile read_weights_file(const std::filesystem::path& path);

}  // namespace tessera
