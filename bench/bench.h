// The groups of benchmarks that tessera_bench runs.
#pragma once

#include <string>

namespace tessera::bench {

struct Options {
  int threads = 1;
  std::string filter;  // only lines whose name contains this
  std::string folder;  // evaluators: where the files lie, or are put
};

void kernels(const Options& options);     // matrix products and convolutions, in GFLOP/s and percent of the FMA peak
void models(const Options& options);      // whole models: forward passes and training steps
void evaluators(const Options& options);  // COCO AP and Boundary AP of large result files

}  // namespace tessera::bench
