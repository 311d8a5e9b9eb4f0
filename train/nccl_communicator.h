// Sums between GPUs by NCCL, on a queue beside the computation.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "train/communicator.h"

namespace tessera {

// What lies on a GPU travels by NCCL, everything else by `host`, which also introduces the ranks to each other. Each
// rank has one GPU. give_up(f) has f called, by any thread, when no sum will end any more: it ends those under way.
std::shared_ptr<Communicator> with_nccl(std::shared_ptr<Communicator> host,
                                        const std::function<void(std::function<void()>)>& give_up);

std::string nccl_version();

}  // namespace tessera
