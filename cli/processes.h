// A command that a launcher may have started several times, to work together (train/communicator.h).
#pragma once

#include <functional>

#include "train/communicator.h"

namespace tessera {

// Does `work` on all of them. The first one's output is that of all; an error of any ends all, and says on which it
// was.
void on_processes(const std::function<void(Communicator&)>& work);

}  // namespace tessera
