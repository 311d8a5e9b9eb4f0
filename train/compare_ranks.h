// What must be alike on all processes of a run, compared. Collective; with one process nothing happens.
#pragma once

#include <string>
#include <vector>

#include "tensor/safetensors.h"
#include "train/communicator.h"

namespace tessera {

// Throws where not all ranks have the same text; the message says of whom and shows the first line that differs. what:
// "configuration".
void check_same(Communicator& communicator, const std::string& what, const std::string& text);

// Throws where tensors are not the same bits on all ranks, and names the first.
void check_same(Communicator& communicator, const std::vector<NamedTensor>& tensors);

}  // namespace tessera
