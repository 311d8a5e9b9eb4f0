#include "tests/support/paths.h"

#include <string_view>

namespace tessera::test {

std::filesystem::path source_dir() {
  return TESSERA_SOURCE_DIR;
}

std::filesystem::path binary_dir() {
  return TESSERA_BINARY_DIR;
}

bool sanitized() {
  return !std::string_view(TESSERA_SANITIZE).empty();
}

}  // namespace tessera::test
