// What `tessera info --model` tells.
#pragma once

#include <string>

namespace tessera {

struct ModelInfoOptions {
  std::string model;  // a file, or a name under configs/
  std::string size = "640x640";
  int depth = 2;     // of the table of modules
  std::string json;  // a file; empty: none
};

// Modules with outputs, parameters and FLOPs, then memory and the time of each part.
void print_model(const ModelInfoOptions& options);

}  // namespace tessera
