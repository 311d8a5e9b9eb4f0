// The pages of docs/ and the README, taken apart: their shell blocks and the files that they show.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tessera::test {

struct Page {
  std::string name;                          // "docs/training.md"
  std::vector<std::string> scripts;          // the blocks that begin with ```sh, in order
  std::map<std::string, std::string> files;  // of blocks whose first line is "# file: NAME"
  std::vector<std::string> strays;           // lines outside of shell blocks that look like commands to type
};

Page parse_page(const std::string& name, const std::string& text);
std::vector<Page> all_pages(const std::filesystem::path& root);

}  // namespace tessera::test
