// What was measured, on the terminal and as JSON.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "bench/bench.h"

namespace tessera::bench {

// One case at one number of threads. Zero: not measured.
struct Line {
  std::string group, name;
  int threads = 1;
  double ms = 0, peer_ms = 0;  // medians
  double ratio = 0;            // median of ours / peer, round by round
  double noise = 0;            // half the distance between the quartiles of ours, as a share of the median
  double ratio_noise = 0;      // the same of the ratios
  double gflops = 0, gbs = 0;  // of ours: arithmetic, or where memory is what limits, bytes read and written
  double percent = 0;          // of the peak that was measured before: multiply-adds on registers, or a large copy
  double mb = 0, peer_mb = 0;  // peak memory of inputs, call and result
  bool disturbed = false;      // other programs were busy in too many rounds
};

struct Machine {
  std::string cpu, simd, precision, peer;  // peer: what is installed, empty without one
  int cores = 0;
  std::string device = "cpu";
};

class Results {
 public:
  explicit Results(Machine machine) : machine_(std::move(machine)) {}

  // Peaks of `threads` threads, in operations and bytes per second.
  void begin(int threads, double operations, double bytes);
  void add(Line line);
  void note(const std::string& text);  // a line of text in between, the first time it is said
  void write(const std::string& path) const;

 private:
  void head(const std::string& group);

  Machine machine_;
  std::map<std::string, Json> peaks_;  // by number of threads
  std::vector<Line> lines_;
  std::string group_;  // whose head was printed last
  std::set<std::string> notes_;
};

}  // namespace tessera::bench
