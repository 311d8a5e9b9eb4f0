// The option --device of the commands that run a network.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "tensor/device.h"

namespace tessera {

// Adds it to a command. The device is looked for when the command runs: Device::parse(name) says what is wrong.
inline void add_device(CLI::App& command, std::string& name) {
  command.add_option("--device", name, "where to compute: cpu, or cuda (a build with it; cuda:1 is the second GPU)")
      ->type_name("DEVICE")
      ->default_str("cpu");
}

}  // namespace tessera
