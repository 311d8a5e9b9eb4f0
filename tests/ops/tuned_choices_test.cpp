// Choices that are made by timing, and the file that keeps them.
#include "ops/tuned_choices.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/file.h"
#include "tests/support/temporary_folder.h"

namespace tessera::ops {

namespace {

constexpr const char* kFirstLine = "tessera choices 1\n";

// What is chosen for `what`, and whether it had to be tuned.
std::pair<std::string, bool> ask(TunedChoices& choices, const std::string& what, const std::string& tuned) {
  bool asked = false;
  const std::string choice = choices.choose(what, [&] {
    asked = true;
    return tuned;
  });
  return {choice, asked};
}

void append(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::app) << text;
}

}  // namespace

TEST_CASE("tuned choices: each is made once, and a later process takes it from the file") {
  const test::TemporaryFolder folder;
  const auto file = folder / "a/b/gpu.choices";  // folders that are missing are made
  TunedChoices first(file);
  CHECK(ask(first, "x 1x2", "41:2=4") == std::pair<std::string, bool>{"41:2=4", true});
  CHECK(ask(first, "x 1x2", "10:") == std::pair<std::string, bool>{"41:2=4", false});
  CHECK(ask(first, "x 3x4", "10:") == std::pair<std::string, bool>{"10:", true});
  TunedChoices second(file);
  CHECK(ask(second, "x 3x4", "7") == std::pair<std::string, bool>{"10:", false});
  CHECK(ask(second, "x 5x6", "8") == std::pair<std::string, bool>{"8", true});
  CHECK(ask(first, "x 5x6", "9") == std::pair<std::string, bool>{"8", false});  // written while it ran
  CHECK(read_file(file) == fmt::format("{}x 1x2\t41:2=4\nx 3x4\t10:\nx 5x6\t8\n", kFirstLine));
}

TEST_CASE("tuned choices: nothing chosen is nothing kept") {
  const test::TemporaryFolder folder;
  TunedChoices choices(folder / "gpu.choices");
  CHECK(ask(choices, "x", "") == std::pair<std::string, bool>{"", true});
  CHECK(ask(choices, "x", "1") == std::pair<std::string, bool>{"1", true});
}

TEST_CASE("tuned choices: damaged lines are passed over, the first choice for a thing counts") {
  const test::TemporaryFolder folder;
  const auto file = folder / "gpu.choices";
  append(file, kFirstLine);
  append(file, "a\t1\nno tab\n\tno thing\nno choice\t\nb\t2\t\x01\nc\t3\na\t4\n\nd\t5");  // the last line has no end
  TunedChoices choices(file);
  CHECK(ask(choices, "a", "9") == std::pair<std::string, bool>{"1", false});
  CHECK(ask(choices, "c", "9") == std::pair<std::string, bool>{"3", false});
  for (const char* lost : {"b", "no tab", "no choice", "d"}) CHECK(ask(choices, lost, "6").second);
  TunedChoices later(file);
  for (const char* found : {"b", "no tab", "no choice", "d"})
    CHECK(ask(later, found, "9") == std::pair<std::string, bool>{"6", false});
}

TEST_CASE("tuned choices: a file of something else is left as it is") {
  const test::TemporaryFolder folder;
  for (const std::string text : {"[section]\na\t1\n", "tessera choices 2\na\t1\n", "\n", "tessera choices 1"}) {
    const auto file = folder / "gpu.choices";
    write_file(file, text);
    TunedChoices choices(file);
    CHECK(ask(choices, "a", "7") == std::pair<std::string, bool>{"7", true});
    CHECK(ask(choices, "a", "8") == std::pair<std::string, bool>{"7", false});
    CHECK(read_file(file) == text);
  }
}

TEST_CASE("tuned choices: where no file can be written they hold for the process") {
  const test::TemporaryFolder folder;
  write_file(folder / "file", "");
  for (const std::filesystem::path& path : {std::filesystem::path(), folder / "file/gpu.choices", folder.path()}) {
    TunedChoices choices(path);
    CHECK(ask(choices, "a", "1") == std::pair<std::string, bool>{"1", true});
    CHECK(ask(choices, "a", "2") == std::pair<std::string, bool>{"1", false});
    CHECK(ask(choices, "b", "3") == std::pair<std::string, bool>{"3", true});
  }
}

TEST_CASE("tuned choices: those who meet a thing together choose it once") {
  const test::TemporaryFolder folder;
  const auto file = folder / "gpu.choices";
  std::vector<std::thread> all;
  for (int i = 0; i < 4; ++i)
    all.emplace_back([=] {
      TunedChoices choices(file);
      for (int thing = 0; thing < 20; ++thing)
        choices.choose(std::to_string(thing), [&] {
          std::this_thread::sleep_for(std::chrono::microseconds(500));
          return fmt::format("thread {}", i);
        });
    });
  for (std::thread& one : all) one.join();
  const std::string text = read_file(file);
  CHECK(std::ranges::count(text, '\n') == 21);
  TunedChoices choices(file);
  for (int thing = 0; thing < 20; ++thing) CHECK(!ask(choices, std::to_string(thing), "").second);
}

TEST_CASE("tuned choices: the file is named after the machine, in the user's folder of caches") {
  CHECK(choices_file("/cache", "NVIDIA H200 9.0 driver 13.0 cuDNN 9.19.0") ==
        "/cache/NVIDIA_H200_9.0_driver_13.0_cuDNN_9.19.0.choices");
  CHECK(choices_file("/cache", "a/../b") == "/cache/a_.._b.choices");
  CHECK(choices_file("", "gpu").empty());
  const test::TemporaryFolder folder;
  for (const char* name : {"b", "a"}) write_file(choices_file(folder.path(), name), kFirstLine);
  write_file(folder / "c.txt", "");
  CHECK(choices_files(folder.path()) == std::vector{folder / "a.choices", folder / "b.choices"});
  CHECK(choices_files(folder / "none").empty());
  CHECK(choices_files("").empty());
}

TEST_CASE("fastest: the first of those that are no slower than 2 % above the least time") {
  const double none = std::numeric_limits<double>::infinity();
  CHECK(fastest(std::vector<double>{3, 1.01, 1, 2}) == 1);
  CHECK(fastest(std::vector<double>{3, 1.03, 1, 2}) == 2);
  CHECK(fastest(std::vector<double>{none, 5, NAN}) == 1);
  CHECK(!fastest(std::vector<double>{none, none}));
  CHECK(!fastest({}));
}

}  // namespace tessera::ops
