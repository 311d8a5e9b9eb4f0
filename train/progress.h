// A progress line that is redrawn in place on a terminal, at most ten times a second.
#pragma once

#include <chrono>
#include <string>

#include "data/parallel.h"

namespace tessera {

bool is_terminal();                           // is standard output one?
std::string format_duration(double seconds);  // "47 s", "3:05", "2:03:05"

class Progress {
 public:
  // `done` of `total` is where the work begins: the remaining time is estimated from what follows. A total of 0 is not
  // known. Off a terminal nothing is drawn.
  Progress(std::string label, i64 done = 0, i64 total = 0, bool terminal = is_terminal());
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void update(i64 done, const std::string& text = "");  // text: what stands behind the bar
  void clear();                                         // removes the line, so that others can print
  // update(), for work that reports how far it has come; it says the total.
  Counted counted() {
    return [this](i64 done, i64 of) {
      total_ = of;
      update(done);
    };
  }
  double remaining_seconds(i64 done) const;

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  i64 first_, total_;
  bool terminal_, drawn_ = false;
  Clock::time_point start_ = Clock::now(), last_{};
};

}  // namespace tessera
