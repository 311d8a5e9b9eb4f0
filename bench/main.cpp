#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <thread>

#include "bench/bench.h"
#include "bench/mask_heads.h"
#include "bench/sps_methods.h"
#include "ops/fallbacks.h"
#include "ops/precision.h"
#include "tensor/error.h"
#include "tensor/file.h"

int main(int argc, char** argv) {
  using namespace tessera::bench;
  CLI::App app("tessera_bench: the speed of the engine on this machine, beside a peer");
  app.footer("Exit status: 0; 1 when --compare finds a line slower; 2 when something is wrong.");
  Options options;
  std::vector<std::string> files;
  double threshold = 5;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  options.threads = {1};
  if (cores > 1) options.threads.push_back(cores);
  CLI::Option* threads =
      app.add_option("-t,--threads", options.threads, "Numbers of threads; one is timed by CPU time, more by wall time")
          ->check(CLI::Range(1, 1024))
          ->capture_default_str();
  app.add_option("-f,--filter", options.filter, "Only the cases with this in \"group/name\"");
  app.add_option("-r,--rounds", options.rounds, "Rounds of ours and the peer's, of which the medians count")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  std::string device = "cpu";
  app.add_option("--device", device, "Where to compute: cpu or cuda; on another device than the CPU by wall time")
      ->capture_default_str();
  app.add_option("--python", options.python, "The Python that has the peers, PyTorch and SciPy; none: ours alone");
  tessera::Arithmetic arithmetic;
  app.add_option_function<std::string>(
         "--precision",
         [&](const std::string& chosen) {
           for (const auto& [name, level] : names_of(tessera::Precision()))
             if (chosen == name) arithmetic.precision = level;
         },
         "Of matrix products and convolutions")
      ->check(CLI::IsMember({"highest", "high", "medium"}))
      ->default_str("highest");
  app.add_flag_callback(
      "--no-tune", [&] { arithmetic.tune = false; },
      "Convolutions on a GPU by the algorithm that cuDNN recommends, not by the fastest of several");
  app.add_option("--json", options.json, "File for the results");
  app.add_flag("--list", options.list, "Print the names of the cases");
  CLI::Option* compared =
      app.add_option("--compare", files, "Two files of results: what changed, line by line")->expected(2);
  app.add_option("--threshold", threshold, "Percent below which a change counts as noise")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  CLI::App* eval = app.add_subcommand("eval", "Evaluators on files of the size of COCO val2017 (0.4 GB)");
  std::string folder;
  eval->add_option("--dir", folder, "Folder of the files; they are made where it has none, and stay")->required();
  eval->add_option("-f,--filter", options.filter, "Only the lines whose name contains this");
  CLI::App* methods = app.add_subcommand(
      "sps-methods", "Five ways to process some cells of a mask head: EffSeg's Table 2 in time and memory");
  SpsMethodsOptions sps;
  methods->fallthrough();  // --threads and --json
  methods->add_option("--rois", sps.rois, "Regions of interest")->capture_default_str()->check(CLI::Range(1, 10000));
  methods->add_option("--refined", sps.refined, "Cells that every stage refines, over all regions")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  methods->add_option("--seconds", sps.seconds, "Measure each method of a stage for at least so long")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  CLI::App* heads = app.add_subcommand(
      "mask-heads", "EffSeg's mask head in time and memory, by its RoIs and by the cells that it refines");
  MaskHeadOptions head;
  heads->fallthrough();  // --threads and --json
  heads->add_option("--rois", head.rois, "Regions of interest")->capture_default_str()->check(CLI::Range(1, 10000));
  heads->add_option("--refined", head.refinements, "Cells that every stage refines, over all regions")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  heads->add_option("--dense", head.dense_rois, "The most regions with which the dense head is measured")
      ->capture_default_str();
  heads->add_option("--runs", head.runs, "Runs of each, of which the fastest counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  heads->add_option("--plot", head.plot, "SVG file for the curves");
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const tessera::ArithmeticScope scope(arithmetic);
  try {
    if (*compared) return compare(files[0], files[1], threshold / 100) > 0 ? 1 : 0;
    if (*eval) {
      omp_set_num_threads(options.threads.front());
      evaluators(folder, options.filter);
    } else if (*methods) {
      if (*threads) omp_set_num_threads(options.threads.front());
      const nlohmann::ordered_json figures = compare_sps_methods(sps);
      if (!options.json.empty()) tessera::write_file(options.json, figures.dump(1) + "\n");
    } else if (*heads) {
      omp_set_num_threads(options.threads.front());
      const nlohmann::ordered_json figures = measure_mask_heads(head);
      if (!options.json.empty()) tessera::write_file(options.json, figures.dump(1) + "\n");
    } else {
      use_device(tessera::Device::parse(device));
      if (tessera::bench::device() != tessera::Device{}) options.threads = {cores};
      run(options);
      if (const tessera::i64 calls = tessera::ops::fallbacks())
        fmt::print("fallbacks: {} calls were refused by the device's libraries and done by slower kernels\n", calls);
    }
  } catch (const tessera::Error& error) {
    fmt::print(stderr, "tessera_bench: {}\n", error.what());
    return 2;
  }
}
