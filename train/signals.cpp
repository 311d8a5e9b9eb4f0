#include "train/signals.h"

namespace tessera {

namespace {
volatile std::sig_atomic_t signal_received = 0;
}

SignalGuard::SignalGuard() {
  signal_received = 0;
  struct sigaction action {};
  action.sa_handler = [](int number) { signal_received = number; };
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    const bool again = kSignals[i] == SIGHUP || kSignals[i] == SIGPIPE;  // these come with each line that is printed
    action.sa_flags = SA_RESTART | (again ? 0 : SA_RESETHAND);  // RESETHAND: the second one has its usual effect
    sigaction(kSignals[i], nullptr, &old_[i]);
    const bool ignored = old_[i].sa_handler == SIG_IGN && again;
    if (!ignored) sigaction(kSignals[i], &action, nullptr);
  }
}

SignalGuard::~SignalGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &old_[i], nullptr);
}

int SignalGuard::received() {
  return signal_received;
}

}  // namespace tessera
