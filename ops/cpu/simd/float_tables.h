// One inner loop in both precisions, per SIMD level: the pair of tables for a function type parameterised by float
// type.
#pragma once

#include "ops/cpu/simd/simd_table.h"

namespace tessera::simd {

template <template <class> class Function>
struct FloatTables {
  SimdTable<Function<float>> f32;
  SimdTable<Function<double>> f64;

  template <class T>
  auto get() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return f32.get();
    } else {
      return f64.get();
    }
  }

  [[gnu::always_inline]] bool add(int level, Function<float>* for_f32, Function<double>* for_f64) {
    return f32.add(level, for_f32) && f64.add(level, for_f64);
  }
};

}  // namespace tessera::simd
