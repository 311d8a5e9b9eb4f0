// Signals that end a program, as a wish that the training loop asks for between steps.
#pragma once

#include <array>
#include <csignal>

namespace tessera {

// While one lives, the first SIGINT, SIGTERM, SIGHUP (the terminal is gone) or SIGPIPE (whoever read standard output
// is) is only noted; a second SIGINT or SIGTERM ends the program at once. What the program was started to ignore, as
// nohup does with SIGHUP, stays ignored.
class SignalGuard {
 public:
  SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  ~SignalGuard();
  static int received();  // the signal's number, 0: none yet

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  std::array<struct sigaction, kSignals.size()> old_{};
};

}  // namespace tessera
