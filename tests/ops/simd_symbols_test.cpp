// The object files that are compiled per SIMD level must define no function that another file could link to: the linker
// keeps one copy of an inline function or template, and it might keep the one made for a newer machine.
#include <doctest/doctest.h>
#include <stdio.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/paths.h"

namespace tessera::test {
namespace {

std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return lines;
  char line[4096];
  while (fgets(line, sizeof line, pipe)) lines.push_back(line);
  pclose(pipe);
  return lines;
}

}  // namespace

TEST_CASE("simd: object files of one level export no function") {
  const std::filesystem::path folder = test::binary_dir() / "ops";
  if (lines_of("nm --version 2>/dev/null").empty() || !std::filesystem::is_directory(folder)) {
    MESSAGE("skipped: no nm, or the object files are not in ", folder.string());
    return;
  }
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().string().find("tessera_simd_") == std::string::npos || entry.path().extension() != ".o") continue;
    ++files;
    for (const std::string& line : lines_of("nm -C --defined-only '" + entry.path().string() + "'")) {
      // "address type name": T is a global function, W a weak one. Sanitizers add a start-up function of their own.
      const size_t space = line.find(' ');
      if (space == std::string::npos || space + 1 >= line.size()) continue;
      const bool exported = line[space + 1] == 'T' || line[space + 1] == 'W';
      CHECK_MESSAGE(!exported, entry.path().filename().string(), ": ", line);
    }
  }
  CHECK(files > 0);
}

}  // namespace tessera::test
