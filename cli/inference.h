// The options of the commands that run a model whose weights are final: how nn::fuse_for_inference prepares it.
#pragma once

#include <CLI/CLI.hpp>

#include "nn/module.h"

namespace tessera {

// Adds --exact and --graph to a command.
inline void add_inference(CLI::App& command, nn::InferenceOptions& options) {
  command.add_flag_callback(
      "--exact", [&options] { options.winograd = false; },
      "convolutions as they are defined, without Winograd's algorithm: slower, a third of the rounding error");
  command.add_flag("--graph", options.graph,
                   "on a GPU: the network's work for an input size that comes again is recorded and launched as one "
                   "unit, the same bits in less time of the host's");
}

}  // namespace tessera
