// A list of operators, each of them a struct: what a family is registered, called and listed by.
#pragma once

namespace tessera::scalar {

template <class... F>
struct Operators {
  // Unary::each([]<class F>(F) { ops::unary_kernels<F>.add(kDevice, unary_cuda<F>); })    true: for use at start-up
  static constexpr bool each(auto call) {
    (call(F()), ...);
    return true;
  }
};

}  // namespace tessera::scalar
