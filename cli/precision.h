// The option --precision of the commands that run a network.
#pragma once

#include <CLI/CLI.hpp>

#include "ops/precision.h"

namespace tessera {

// Adds it to a command; it holds from when the command line is read until the command goes.
void add_precision(CLI::App& command);

}  // namespace tessera
