// Files of weights, whoever wrote them: safetensors, PyTorch's .pth and .pt, detectron2's .pkl. Told apart by their
// first bytes. Nothing in them is ever executed.
//
// Both of PyTorch's formats: a zip archive (1.6 and later), and pickles one after the other (before).
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tensor/safetensors.h"

namespace tessera {

struct WeightsFile {
  std::filesystem::path path;
  std::vector<NamedTensor> tensors;             // views of the mapped file where they lie contiguous in it
  std::map<std::string, std::string> metadata;  // of safetensors
  std::set<std::string> dicts;                  // of pickles, these two: tensor/pickled_tensors.h
  std::string weights;

  // The tensors under `weights`, as they are called in there: of a training checkpoint the weights alone.
  std::vector<NamedTensor> state_dict() const;
};

// Throws Error naming the file: damaged or truncated, without tensors, or a pickle that asks for anything but tensors.
WeightsFile read_weights_file(const std::filesystem::path& path);

}  // namespace tessera
