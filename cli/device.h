// The option --device of the commands that run a network.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ops/precision.h"
#include "tensor/device.h"

namespace tessera {

// Adds it to a command. The device is looked for when the command runs.
void add_device(CLI::App& command, std::string& name);

// The device of that name; Device::parse says what is wrong with it. A line on stderr where it computes every precision
// alike and another than the highest is asked for.
Device chosen_device(const std::string& name, Precision asked = precision());

}  // namespace tessera
