#include "train/signals.h"

#include <unistd.h>

#include <cstring>

#include "tensor/file.h"

namespace tessera {

namespace {

volatile std::sig_atomic_t signal_received = 0;

void print(const char* text) {
  (void)!write(STDERR_FILENO, text, std::strlen(text));
}

// These two run as signal handlers: nothing in them allocates or locks.
void end(int number) {
  remove_temporary_files();
  if (number != SIGPIPE) {
    if (isatty(STDERR_FILENO)) print("\r\x1b[K");  // over a progress line
    print("tessera: stopped by ");
    print(number == SIGINT ? "SIGINT\n" : number == SIGTERM ? "SIGTERM\n" : "SIGHUP\n");
  }
  signal(number, SIG_DFL);
  raise(number);  // takes effect when this handler returns
}

void note(int number) {
  const auto asks = [](int signal) { return signal == SIGINT || signal == SIGTERM; };
  if (!asks(signal_received)) {
    signal_received = number;
  } else if (asks(number)) {
    end(number);
  }
}

void handle(int number, void (*handler)(int), struct sigaction* before) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(number, nullptr, before);
  if (number == SIGHUP && before->sa_handler == SIG_IGN) return;
  sigaction(number, &action, nullptr);
}

}  // namespace

void end_cleanly_on_signals() {
  struct sigaction ignored {};
  for (const int number : kEndingSignals) handle(number, end, &ignored);
  signal(SIGXFSZ, SIG_IGN);
}

SignalGuard::SignalGuard() {
  signal_received = 0;
  for (size_t i = 0; i < before_.size(); ++i) handle(kEndingSignals[i], note, &before_[i]);
}

SignalGuard::~SignalGuard() {
  for (size_t i = 0; i < before_.size(); ++i) sigaction(kEndingSignals[i], &before_[i], nullptr);
}

int SignalGuard::received() {
  return signal_received;
}

}  // namespace tessera
