// The peer: bench/peer.py in a process of its own, asked for one case at a time through pipes.
//
//   -> make {"op": "linear", "M": 1024, ...}     <- ok TEXT | none REASON     inputs made, fastest variant chosen
//   -> sample 0.05                               <- CALLS WALL CPU            calls for at least so many seconds
//   -> memory                                    <- MB                        peak of two calls, see peer.py
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "bench/bench.h"
#include "bench/measure.h"

namespace tessera::bench {

class Peer {
 public:
  // Null with `why` when it does not start.
  static std::unique_ptr<Peer> start(const Options& options, int threads, std::string& why);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  const std::string& description() const { return description_; }  // what is installed, in words

  // Each is false or empty when the peer cannot do it, or died of it; `why` says the reason.
  bool make(const Json& request, std::string& why);
  std::optional<Sample> sample(double seconds);
  std::optional<double> peak_mb();

 private:
  Peer() = default;
  std::optional<std::string> ask(const std::string& line);

  std::FILE *to_ = nullptr, *from_ = nullptr;
  int process_ = -1;
  std::string description_;
};

}  // namespace tessera::bench
