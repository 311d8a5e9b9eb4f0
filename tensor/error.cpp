#include "tensor/error.h"

namespace tessera {

void throw_error(std::string message) {
  throw Error(std::move(message));
}

}  // namespace tessera
