// The library as other programs see it: installed and found by CMake, or as a part of their own build.
#include <doctest/doctest.h>

#include "tests/cli/program.h"

namespace tessera::test {

namespace {

Outcome shell(const fs::path& folder, const std::string& command) {
  return Program(folder, {"-c", command}, "/bin/sh", {.directory = folder, .environment = {}}).wait();
}

void check_shell(const fs::path& folder, const std::string& command) {
  const Outcome outcome = shell(folder, command);
  INFO(command, "\n", outcome.out, outcome.err);
  CHECK(outcome.code == 0);
}

}  // namespace

// The examples would have to be built as a sanitized library is.
TEST_SUITE_BEGIN("library" * doctest::skip(sanitized()));

TEST_CASE(
    "library: the examples and the device of the porting guide build against an installed copy, and each does what it "
    "says") {
  const TemporaryFolder folder;
  check_shell(folder.path(), "cmake --install " + binary_dir().string() + " --prefix " + (folder / "prefix").string());
  for (const auto& [source, build] :
       {std::pair(source_dir() / "examples", "build"), std::pair(binary_dir() / "tests/porting/page", "abacus")}) {
    check_shell(folder.path(),
                fmt::format("cmake -G Ninja -S {} -B {} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 "
                            "-DCMAKE_PREFIX_PATH=$PWD/prefix",
                            source.string(), build));
    check_shell(folder.path(), fmt::format("cmake --build {}", build));
  }
  for (const char* command :
       {"abacus/first_layer", "build/xor", "build/shapes_classifier", "build/new_operator", "build/own_data run",
        "prefix/bin/tessera data shapes --out shapes --train 1 --val 1 --size 64",
        "build/sparseinst shapes/val/*.png drawn.png run",
        "cp prefix/share/tessera/configs/demo.toml prefix/share/tessera/configs/of_the_copy.toml",
        "prefix/bin/tessera train of_the_copy --dry-run"})
    check_shell(folder.path(), command);
  CHECK(fs::exists(folder / "drawn.png"));
}

TEST_CASE("library: no header is installed under a name that another library may have") {
  const TemporaryFolder folder;
  check_shell(folder.path(), "cmake --install " + binary_dir().string() + " --prefix prefix");
  for (const fs::directory_entry& entry : fs::directory_iterator(folder / "prefix/include"))
    CHECK(entry.path().filename() == "tessera");
  const Outcome generic = shell(folder.path(), "grep -rn '#include \"' prefix/include");
  CHECK_MESSAGE(generic.code == 1, generic.out);
}

TEST_CASE("library: add_subdirectory and FetchContent give the target, and leave the parent's settings alone") {
  const TemporaryFolder folder;
  std::string bring;
  SUBCASE("add_subdirectory") {
    bring = "add_subdirectory(" + source_dir().string() + " tessera)\n";
  }
  SUBCASE("FetchContent") {
    bring = "include(FetchContent)\nFetchContent_Declare(tessera SOURCE_DIR " + source_dir().string() +
            ")\nFetchContent_MakeAvailable(tessera)\n";
  }
  write_file(folder / "app.cpp", "#include <tessera/tessera.h>\nint main() {}\n");
  write_file(folder / "CMakeLists.txt",
             "cmake_minimum_required(VERSION 3.25)\nproject(app LANGUAGES CXX)\n" + bring +
                 "add_executable(app app.cpp)\ntarget_link_libraries(app PRIVATE Tessera::tessera)\n"
                 "if(CMAKE_RUNTIME_OUTPUT_DIRECTORY OR CMAKE_CXX_STANDARD OR TARGET tessera_tests)\n"
                 "  message(FATAL_ERROR \"the parent was changed\")\nendif()\n");
  check_shell(folder.path(), "cmake -G Ninja -S . -B build");
  check_shell(folder.path(), "ninja -C build tessera_headers CMakeFiles/app.dir/app.cpp.o");
}

TEST_SUITE_END();

}  // namespace tessera::test
