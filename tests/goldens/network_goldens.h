// Golden results of whole networks: one *.safetensors file, whose metadata say which network and configuration.
//
// A network's file adds itself (listed in CMakeLists.txt, nothing else changes):
//   static const bool kAdded = add_network({"SparseInst", [](const SafeTensors& f) { ... }, check_sparseinst});
#pragma once

#include <filesystem>

#include "tensor/safetensors.h"
#include "tests/goldens/report.h"

namespace tessera::goldens {

struct NetworkGoldens {
  const char* name;
  bool (*recognises)(const SafeTensors& file);            // from tensors and metadata, not from the file's name
  int (*check)(const SafeTensors& file, Report& report);  // runs on report.device(); returns how many cases it reported
  bool in_bf16 = false;                                   // whether check() goes by report.dtype
};
bool add_network(const NetworkGoldens& network);

// Checks one file and returns how many cases were reported; a network that no file here knows is one missing case.
// Throws Error for an unreadable or malformed file.
int check_network(const std::filesystem::path& path, Report& report);

}  // namespace tessera::goldens
