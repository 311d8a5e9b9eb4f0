// Calls of a C library whose error handler may not return, as exceptions.
//
// The handler calls leave(), which jumps back into run(), past the library's frames, which know nothing of exceptions.
// A jump runs no destructors: what is called inside run() creates no object that has one; such objects stand outside.
#pragma once

#include <array>
#include <csetjmp>
#include <cstring>
#include <string>

#include "tensor/error.h"

namespace tessera {

class LongjmpGuard {
 public:
  // For messages: a file, and what it cannot be.
  explicit LongjmpGuard(const std::string& name, const char* done = "decoded") : name_(name), done_(done) {}

  template <class Calls>
  void run(const Calls& calls) {
    if (setjmp(target_) != 0) fail("{}: cannot be {}: {}", name_, done_, message_.data());
    calls();
  }
  [[noreturn]] void leave(const char* message) {
    std::strncpy(message_.data(), message, message_.size() - 1);
    std::longjmp(target_, 1);
  }

 private:
  std::string name_;
  const char* done_;
  std::jmp_buf target_;
  std::array<char, 256> message_{};
};

}  // namespace tessera
