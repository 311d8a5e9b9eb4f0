// tessera_goldens: compares this build with stored reference results.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "ops/cpu/simd/simd_table.h"
#include "ops/precision.h"
#include "tests/goldens/network_goldens.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

constexpr double kHighFactor = 16;  // the error of a product at precision high, as a multiple of f32's

// Where operators' and networks' results lie: a *.safetensors file is a network's, a folder is searched through.
void find_goldens(const std::filesystem::path& path, std::vector<std::filesystem::path>& found) {
  TESSERA_CHECK(std::filesystem::exists(path), "no such file or folder");
  if (!std::filesystem::is_directory(path)) {
    TESSERA_CHECK(path.extension() == ".safetensors", "neither a folder nor a *.safetensors file");
    found.push_back(path);
    return;
  }
  const bool operators = std::filesystem::exists(path / "ops.json");
  if (operators) found.push_back(path);
  std::vector<std::filesystem::path> entries(std::filesystem::directory_iterator(path), {});
  std::sort(entries.begin(), entries.end());
  for (const std::filesystem::path& entry : entries)
    if (std::filesystem::is_directory(entry) ||
        (entry.extension() == ".safetensors" && !(operators && entry.filename() == "ops.safetensors")))
      find_goldens(entry, found);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Compares every operator and network with stored reference results. A PATH is the *.safetensors file of one "
      "network,\n"
      "or a folder, in which and below which every network's file and every pair ops.json, ops.safetensors is "
      "checked.\n"
      "Prints `ok|FAIL|missing  case  worst error` per "
      "case;\n"
      "the error is relative to the largest stored value. The exit status is 1 when anything failed.",
      "tessera_goldens");
  std::vector<std::string> paths;
  std::string device = "cpu";
  app.add_option("PATH", paths, "what to check")->required();
  app.add_option("-d,--device", device, "where to run the cases")->capture_default_str();
  std::string weights;
  app.add_option("--weights", weights, "take the network's parameters from this file (.pth, .pkl, .safetensors)");
  std::string precision = "highest";
  app.add_option("--precision", precision, "of matrix products; high has 16 times the tolerances (docs/precision.md)")
      ->check(CLI::IsMember({"highest", "high"}))
      ->capture_default_str();
  bool bf16 = false;
  app.add_flag("--bf16", bf16,
               "inference with bf16 activations, of networks that are compared in it, with the tolerances of bf16");
  CLI11_PARSE(app, argc, argv);

  Report report(Device::parse(device));
  report.weights = weights;
  if (bf16) report.dtype = DType::kBF16;
  const bool high = precision == "high";
  const ArithmeticScope arithmetic({.precision = high ? Precision::kHigh : Precision::kHighest});
  if (high && has_tiles()) report.tolerance_factor = kHighFactor;  // elsewhere it is the highest
  const auto attempt = [&](const std::filesystem::path& path, const auto& work) {
    try {
      work();
    } catch (const std::exception& error) {  // also std::filesystem's, for a folder that may not be entered
      report.fail(path.string(), error.what());
    }
  };
  for (const std::string& path : paths)
    attempt(path, [&] {
      std::vector<std::filesystem::path> found;
      find_goldens(path, found);
      TESSERA_CHECK(!found.empty(), "no ops.json and no *.safetensors file in this folder or below it");
      for (const std::filesystem::path& goldens : found)
        attempt(goldens, [&] {
          if (std::filesystem::is_directory(goldens))
            check_ops_folder(goldens, report);
          else
            check_network(goldens, report);
        });
    });
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
