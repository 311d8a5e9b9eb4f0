// Whole numbers of blocks.
#pragma once

#include "tensor/dtype.h"

namespace tessera::cpu {

constexpr i64 ceil_div(i64 a, i64 b) {
  return (a + b - 1) / b;
}
constexpr i64 round_up(i64 a, i64 b) {
  return ceil_div(a, b) * b;
}

}  // namespace tessera::cpu
