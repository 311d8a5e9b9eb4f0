// The pages of docs/ and the README, taken apart: their shell blocks, the files that they show and the code that they
// cut out of the tree.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tessera::test {

struct Excerpt {
  std::string file, text;  // "nn/layers.h", and the lines behind the first
};

struct Page {
  std::string name;                          // "docs/training.md"
  std::vector<std::string> scripts;          // the blocks that begin with ```sh, in order
  std::map<std::string, std::string> files;  // of blocks whose first line is "# file: NAME"
  std::vector<Excerpt> excerpts;             // of C++ blocks whose first line is "// PATH", a file of the tree
  std::vector<std::string> strays;           // lines outside of shell blocks that look like commands to type
};

Page parse_page(const std::string& name, const std::string& text);
// Do the pieces of the text, which lines "..." part, stand in the source in this order? However the lines are broken.
bool stands_in(const std::string& text, const std::string& source);

std::vector<Page> all_pages(const std::filesystem::path& root);

}  // namespace tessera::test
