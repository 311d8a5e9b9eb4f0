// How exact f32 matrix products and convolutions have to be, as PyTorch's set_float32_matmul_precision: operands are
// f32 and sums are f32 at every level, what changes is the product.
//
//   kHighest  the error of f32 arithmetic or less
//   kHigh     operands are split into two bfloat16 parts each and three of their four products are taken: relative
//             error of a product at most about 2^-16
//   kMedium   operands are rounded to bfloat16: relative error of a product at most about 2^-7
//
// A GPU computes kHigh with TF32 products (2^-10) and kMedium with bfloat16 ones, convolutions with TF32. A processor
// without units for bfloat16 products computes every level as kHighest. docs/precision.md has the measured
// errors and says what becomes of infinities, NaN and very small numbers.
#pragma once

#include <array>
#include <utility>

namespace tessera {

enum class Precision { kHighest, kHigh, kMedium };

inline auto names_of(Precision) {
  return std::array{std::pair{"highest", Precision::kHighest}, std::pair{"high", Precision::kHigh},
                    std::pair{"medium", Precision::kMedium}};
}

struct Arithmetic {
  Precision precision = Precision::kHighest;
  // Whether conv2d and conv2d_backward_input may use Winograd's algorithm (docs/winograd.md), which has about 3 times
  // the rounding error of the direct form.
  bool winograd = false;
  // Whether convolutions on a GPU take the fastest of several algorithms, timed once per machine (docs/gpu.md), or else
  // the one that cuDNN recommends. They differ in the order of their sums.
  bool tune = true;
};

Arithmetic arithmetic();  // that of the innermost scope on this thread, or else the defaults
inline Precision precision() {
  return arithmetic().precision;
}

// While one lives, operators on this thread compute so. A backward pass computes as the forward pass that it belongs to
// (autograd/var.h), wherever it is called.
class ArithmeticScope {
 public:
  explicit ArithmeticScope(const Arithmetic& arithmetic);
  ~ArithmeticScope();
  ArithmeticScope(const ArithmeticScope&) = delete;
  ArithmeticScope& operator=(const ArithmeticScope&) = delete;

 private:
  Arithmetic outer_;
};

}  // namespace tessera
