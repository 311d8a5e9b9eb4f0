// Softmax and its relatives, each a struct, as those of ops/scalar/pointwise.h; ops/softmax.h states the formulas.
#pragma once

#include "ops/scalar/operators.h"

namespace tessera::scalar {

// kFromY: the derivative takes y, else x. kBf16: whether the operator takes it.
struct Softmax {
  static constexpr const char* kName = "softmax";
  static constexpr bool kLog = false, kSigmoid = false, kFromY = true, kBf16 = false;
};
struct LogSoftmax {
  static constexpr const char* kName = "log_softmax";
  static constexpr bool kLog = true, kSigmoid = false, kFromY = true, kBf16 = false;
};
struct NormalisedSigmoid {
  static constexpr const char* kName = "normalised_sigmoid";
  static constexpr bool kLog = false, kSigmoid = true, kFromY = false, kBf16 = true;
};
using Softmaxes = Operators<Softmax, LogSoftmax, NormalisedSigmoid>;

inline constexpr double kSmallestSum = 1e-6;  // by which NormalisedSigmoid divides

}  // namespace tessera::scalar
