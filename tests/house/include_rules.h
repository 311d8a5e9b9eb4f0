// The rules of the house about #include lines: which floor may stand on which.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace tessera::house {

// What is wrong with one source file, as "file:line: ..." messages. `path` is relative to the repository root with
// forward slashes; `exists` tells whether a path relative to the root is a file.
std::vector<std::string> check_source(const std::string& path, const std::string& text,
                                      const std::function<bool(const std::string&)>& exists);

// What is wrong with a source that has a header of its own name and does not include it first, which shows that the
// header compiles alone.
std::string check_own_header(const std::string& path, const std::string& text,
                             const std::function<bool(const std::string&)>& exists);

}  // namespace tessera::house
