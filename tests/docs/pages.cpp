#include "tests/docs/pages.h"

#include <algorithm>
#include <regex>
#include <sstream>

#include "tensor/file.h"

namespace tessera::test {

namespace fs = std::filesystem;

namespace {

std::string with_single_spaces(const std::string& text) {
  std::istringstream words(text);
  std::string result;
  for (std::string word; words >> word;) result += word + " ";
  return result;
}

}  // namespace

Page parse_page(const std::string& name, const std::string& text) {
  static const std::regex command("(\\w+=\\S+ )*(tessera\\w*|\\./run|build/\\w+/tessera\\w*) .*");
  static const std::regex path("// ([\\w/]+\\.(h|cpp|cu))");
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
      const std::string first = block.substr(0, block.find('\n'));
      std::smatch match;
      if (inside && language == "cpp" && std::regex_match(first, match, path))
        page.excerpts.push_back({match[1], block.substr(first.size() + 1)});
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

bool stands_in(const std::string& text, const std::string& source) {
  const std::string whole = with_single_spaces(source);
  std::istringstream lines(text + "\n...\n");
  std::string piece;
  size_t at = 0;
  for (std::string line; std::getline(lines, line);) {
    if (with_single_spaces(line) != "... ") {
      piece += line + "\n";
      continue;
    }
    at = whole.find(with_single_spaces(piece), at);
    if (at == std::string::npos) return false;
    at += with_single_spaces(piece).size();
    piece.clear();
  }
  return true;
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
