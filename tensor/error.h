// The one error type of the engine, and the check that throws it.
//
// A message names the operator (or file), what was wrong, every shape or value involved, and the way out:
//   conv2d: input has 64 channels, weight [128, 3, 3, 32] expects 32 x 1 groups; x [2, 80, 80, 64]
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace tessera {

// Wrong input, wrong file, wrong configuration: anything a user can mend. Programs print what() on one line and exit 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] void throw_error(std::string message);

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tessera

// TESSERA_CHECK(condition, format, args...): throws tessera::Error with the formatted message. Stays in release builds.
#define TESSERA_CHECK(condition, ...) \
  do {                                \
    if (!(condition)) [[unlikely]]    \
      ::tessera::fail(__VA_ARGS__);   \
  } while (false)
