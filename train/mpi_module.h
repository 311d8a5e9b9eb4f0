// What the module libtessera_mpi.so offers to the library, by its one symbol.
#pragma once

#include "train/communicator.h"

namespace tessera {

struct MpiModule {
  std::shared_ptr<Communicator> (*connect)();
  std::string (*version)();
};

}  // namespace tessera
