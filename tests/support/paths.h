// Where this project's sources and its build lie. Only paths.cpp is compiled anew when they move.
#pragma once

#include <filesystem>

namespace tessera::test {

std::filesystem::path source_dir();
std::filesystem::path binary_dir();

}  // namespace tessera::test
