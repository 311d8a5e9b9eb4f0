#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>

#include "bench/bench.h"
#include "tensor/error.h"

int main(int argc, char** argv) {
  using namespace tessera::bench;
  CLI::App app("tessera_bench: the speed of the engine on this machine");
  app.fallthrough();  // options may stand behind the group
  Options options;
  app.add_option("-t,--threads", options.threads, "Threads; one thread is timed by CPU time, more by wall time")
      ->capture_default_str();
  app.add_option("-f,--filter", options.filter, "Only the lines whose name contains this");
  CLI::App* kernels_only = app.add_subcommand("kernels", "Matrix products and convolutions beside the FMA peak");
  CLI::App* models_only = app.add_subcommand("models", "Forward passes and training steps of whole models");
  CLI::App* evaluators_only = app.add_subcommand("eval", "Evaluators on files of the size of COCO val2017 (0.4 GB)");
  evaluators_only->add_option("--dir", options.folder, "Folder of the files; they are made where it has none, and stay")
      ->required();
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);
  try {
    omp_set_num_threads(options.threads);
    if (*evaluators_only) {
      evaluators(options);
      return 0;
    }
    if (!*models_only) kernels(options);
    if (!*kernels_only) models(options);
  } catch (const tessera::Error& error) {
    fmt::print(stderr, "tessera_bench: {}\n", error.what());
    return 1;
  }
}
