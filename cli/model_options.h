// The options of the commands that run a network.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "train/communicator.h"
#include "train/loaded_model.h"

namespace tessera {

// --device. The device is looked for when the command runs.
void add_device(CLI::App& command, std::string& name);

// The device of that name; Device::parse says what is wrong with it. One without a number ("cuda") is, of several
// processes of a host, each one's own. A line on stderr where it computes every precision alike and another than the
// highest is asked for.
Device chosen_device(const std::string& name, Precision asked = precision(),
                     const Communicator& communicator = single_process());

// --precision and --no-tune, which hold from when the command line is read until the command goes.
void add_arithmetic(CLI::App& command);

// --exact, --dtype and --graph: how nn::fuse_for_inference prepares a model whose weights are final.
void add_inference(CLI::App& command, nn::InferenceOptions& options);

// A trained model, and where it runs: --checkpoint, --config, --set, --device, --precision and --no-tune.
struct ModelOptions {
  std::string checkpoint, config, device = "cpu";
  std::vector<std::string> overrides;

  void add(CLI::App& command);
  // On its device; annotations: as tessera::load.
  LoadedModel load(const std::string& annotations = "", const Communicator& communicator = single_process()) const;
  std::vector<std::filesystem::path> files() const { return {find_checkpoint(checkpoint), config}; }
};

}  // namespace tessera
