// What the pages tell the reader to type works.
#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/docs/checkout.h"
#include "tests/docs/pages.h"
#include "tests/support/paths.h"

namespace tessera::test {

TEST_CASE("docs: a page's shell blocks, its files and stray commands are found") {
  const Page page = parse_page("x.md",
                               "# x\n```sh\n./run test\n```\ntext\n    A=1 build/release/tessera info\n"
                               "```toml\n# file: a.toml\nb = 1\n```\n```\ntessera info\nother\n```\n    tesserae\n");
  CHECK(page.scripts == std::vector<std::string>{"./run test\n"});
  CHECK(page.files == std::map<std::string, std::string>{{"a.toml", "# file: a.toml\nb = 1\n"}});
  CHECK(page.strays == std::vector<std::string>{"    A=1 build/release/tessera info", "tessera info"});
}

TEST_CASE("docs: code that a page cuts out of a file stands in that file") {
  const std::string source = "int a;\n  int b =\n      2;\nint c;\n";
  CHECK(stands_in("int a;\n...\nint c;\n", source));
  CHECK(stands_in("int b = 2;\n", source));
  CHECK(!stands_in("int c;\n...\nint a;\n", source));
  CHECK(!stands_in("int b = 3;\n", source));
  const Page page = parse_page("x.md", "```cpp\n// nn/a.h\nint a;\n```\n```cpp\n// why\nint b;\n```\n");
  REQUIRE(page.excerpts.size() == 1);
  CHECK(page.excerpts[0].file == "nn/a.h");
  CHECK(page.excerpts[0].text == "int a;\n");

  size_t excerpts = 0;
  for (const Page& each : all_pages(source_dir()))
    for (const auto& [file, text] : each.excerpts) {
      ++excerpts;
      CHECK_MESSAGE(stands_in(text, read_file(source_dir() / file)),
                    fmt::format("{} shows what is not in {}:\n{}", each.name, file, text));
    }
  CHECK(excerpts >= 10);
}

TEST_CASE("docs: every command of every page runs in a fresh checkout") {
  const Checkout checkout;
  const std::vector<Page> pages = all_pages(source_dir());
  size_t scripts = 0;
  for (const Page& page : pages) {
    CAPTURE(page.name);
    for (const std::string& line : page.strays)
      FAIL_CHECK(page.name, ": a command that is not in a ```sh block: ", line);
    scripts += page.scripts.size();
    if (page.scripts.empty()) continue;
    if (sanitized() && page.name != "README.md") continue;  // the others run whole ResNet-50s, which takes minutes
    const TemporaryFolder folder;
    checkout.lay(folder.path());
    for (const Page& other : pages)  // a page may use the file that another one shows
      for (const auto& [name, text] : other.files) write_file(folder / name, text);
    for (const std::string& script : page.scripts) {
      const Outcome outcome = run_script(folder.path(), script);
      INFO(script);
      CHECK_MESSAGE(outcome.code == 0, outcome.err);
    }
  }
  CHECK(scripts > 15);
}

}  // namespace tessera::test
