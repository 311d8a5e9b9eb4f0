// Signals that ask a program to end: SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal has gone; unless it is ignored, as
// under nohup) and SIGPIPE (whoever read the output has gone).
#pragma once

#include <array>
#include <csignal>

namespace tessera {

inline constexpr std::array kEndingSignals = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

// From now on they end the program by the signal's own effect, as ever, but first remove temporary files and, but for
// SIGPIPE, say so on stderr. A file that grows past the limit of the shell (SIGXFSZ) is an error of the write instead.
void end_cleanly_on_signals();

// While one lives, they are only noted, as a wish that a loop asks for between its steps. A second SIGINT or SIGTERM
// ends the program at once; the others never do, since they come again by themselves: SIGPIPE with every further line
// that is printed, SIGHUP from the kernel and from the shell.
class SignalGuard {
 public:
  SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  ~SignalGuard();
  static int received();  // the signal's number, 0: none yet

 private:
  std::array<struct sigaction, kEndingSignals.size()> before_{};
};

}  // namespace tessera
