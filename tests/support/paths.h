// Where this project's sources and its build lie, and how it was built. Only paths.cpp is compiled anew when they move.
#pragma once

#include <filesystem>

namespace tessera::test {

std::filesystem::path source_dir();
std::filesystem::path binary_dir();
bool sanitized();  // what is tested has AddressSanitizer's checks, or others'

}  // namespace tessera::test
