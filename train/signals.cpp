#include "train/signals.h"

namespace tessera {

namespace {
volatile std::sig_atomic_t signal_received = 0;
}

SignalGuard::SignalGuard() {
  signal_received = 0;
  struct sigaction action {};
  action.sa_handler = [](int number) { signal_received = number; };
  action.sa_flags = SA_RESETHAND | SA_RESTART;  // RESETHAND: the second one has its usual effect
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
}

SignalGuard::~SignalGuard() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

int SignalGuard::received() {
  return signal_received;
}

}  // namespace tessera
