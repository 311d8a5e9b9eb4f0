// The benchmarks: cases that are timed beside a peer, and the pieces that time them.
//
// A case is a call of ours and a request to bench/peer.py, which makes the same call of PyTorch, torchvision, SciPy
// or ncnn.
// Both run in turn, several rounds, and the ratio is the median over the rounds. A family of operators adds its cases
// in a file of its own, `void <family>_cases(Cases&)`, called in cases.cpp.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tessera::bench {

using Call = std::function<void()>;
using Json = nlohmann::ordered_json;

struct Case {
  std::string group, name;     // unique together
  Json peer;                   // a function of bench/peer_operators.py or peer_models.py and its arguments; empty: none
  std::function<Call()> make;  // makes the inputs and returns the call to be timed; empty: ours is not there yet
  double operations = 0;       // of one call: a multiply-add is two
  bool counted = false;        // the operations are counted while it runs (ops/work.h)
  double bytes = 0;            // read and written by one call, for what memory limits
  std::vector<std::string> sums = {};  // counts `times` into the lines of these names at the end of the group
  int times = 0;
};
using Cases = std::vector<Case>;

Cases all_cases();

// Where the cases compute: the CPU unless use_device() said otherwise, before they are made.
Device device();
void use_device(Device device);

Tensor random_tensor(const Shape& shape, double low = -1, double high = 1);       // f32, the same values each time
Tensor random_host_tensor(const Shape& shape, double low = -1, double high = 1);  // the same on the CPU

struct Options {
  std::vector<int> threads;  // each count is a table of its own
  std::string filter;        // only cases with this in "group/name"
  std::string python;        // the interpreter of the peer; empty: no peer
  std::string peer_script = "bench/peer.py";
  std::string json;  // file for the results
  int rounds = 7;
  bool list = false;  // print the names only
};
void run(const Options& options);

// Prints what changed from one file of results to another; returns how many lines became slower beyond the noise.
int compare(const std::string& before, const std::string& after, double threshold);

void evaluators(const std::string& folder, const std::string& filter);  // COCO AP and Boundary AP of large result files

}  // namespace tessera::bench
