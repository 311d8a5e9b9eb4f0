// SIGINT and SIGTERM as a wish that the training loop asks for between steps.
#pragma once

#include <csignal>

namespace tessera {

// While one lives, the first SIGINT or SIGTERM is only noted; a second one ends the program at once.
class SignalGuard {
 public:
  SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  ~SignalGuard();
  static int received();  // the signal's number, 0: none yet

 private:
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

}  // namespace tessera
