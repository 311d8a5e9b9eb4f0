#include "tests/support/paths.h"

namespace tessera::test {

std::filesystem::path source_dir() {
  return TESSERA_SOURCE_DIR;
}

std::filesystem::path binary_dir() {
  return TESSERA_BINARY_DIR;
}

}  // namespace tessera::test
