#include "tests/docs/pages.h"

#include <algorithm>
#include <regex>
#include <sstream>

#include "tensor/file.h"

namespace tessera::test {

namespace fs = std::filesystem;

Page parse_page(const std::string& name, const std::string& text) {
  static const std::regex command("(\\w+=\\S+ )*(tessera\\w*|\\./run|build/\\w+/tessera\\w*) .*");
  constexpr std::string_view kFile = "# file: ";
  Page page;
  page.name = name;
  std::istringstream lines(text);
  std::string language, block;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      if (inside && language == "sh") page.scripts.push_back(block);
      if (inside && block.starts_with(kFile))
        page.files[block.substr(kFile.size(), block.find('\n') - kFile.size())] = block;
      inside = !inside;
      language = line.substr(3);
      block.clear();
      continue;
    }
    if (inside) block += line + "\n";
    const bool code = inside ? language != "sh" : line.starts_with("    ");
    if (code && std::regex_match(line.substr(std::min(line.size(), line.find_first_not_of(' '))), command))
      page.strays.push_back(line);
  }
  return page;
}

std::vector<Page> all_pages(const fs::path& root) {
  std::vector<fs::path> files{root / "README.md"};
  for (const fs::directory_entry& entry : fs::directory_iterator(root / "docs"))
    if (entry.path().extension() == ".md") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Page> pages;
  for (const fs::path& file : files)
    pages.push_back(parse_page(file.lexically_relative(root).generic_string(), read_file(file)));
  return pages;
}

}  // namespace tessera::test
