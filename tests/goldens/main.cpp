// tessera_goldens: compares this build with stored reference results.
#include <CLI/CLI.hpp>
#include <filesystem>

#include "tests/goldens/network_goldens.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

void check_path(const std::filesystem::path& path, Report& report) {
  TESSERA_CHECK(std::filesystem::exists(path), "no such file or folder");
  if (std::filesystem::is_directory(path))
    check_ops_folder(path, report);
  else if (path.extension() == ".safetensors")
    check_network(path, report);
  else
    tessera::fail("neither a folder with ops.json and ops.safetensors nor a *.safetensors file");
}

int run(int argc, char** argv) {
  CLI::App app(
      "Compares every operator and network with stored reference results. A PATH is a folder with ops.json and\n"
      "ops.safetensors, or the *.safetensors file of one network. Prints `ok|FAIL|missing  case  worst error` per "
      "case;\n"
      "the error is relative to the largest stored value. The exit status is 1 when anything failed.",
      "tessera_goldens");
  std::vector<std::string> paths;
  std::string device = "cpu";
  app.add_option("PATH", paths, "what to check")->required();
  app.add_option("-d,--device", device, "where to run the cases")->capture_default_str();
  std::string weights;
  app.add_option("--weights", weights, "take the network's parameters from this file (.pth, .pkl, .safetensors)");
  CLI11_PARSE(app, argc, argv);

  Report report(Device::parse(device));
  report.weights = weights;
  for (const std::string& path : paths) {
    try {
      check_path(path, report);
    } catch (const std::exception& error) {  // also std::filesystem's, for a folder that may not be entered
      report.fail(path, error.what());
    }
  }
  fmt::print("{} passed, {} failed, {} missing\n", report.passed(), report.failed(), report.missing());
  return report.failed() == 0 ? 0 : 1;
}

}  // namespace

}  // namespace tessera::goldens

int main(int argc, char** argv) {
  try {
    return tessera::goldens::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
