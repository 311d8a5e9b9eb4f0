// One inner loop, or a struct of them, in both precisions per SIMD level: the pair of tables for an entry parameterised
// by float type.
#pragma once

#include "ops/cpu/simd/simd_table.h"

namespace tessera::simd {

template <template <class> class Entry>
struct FloatTables {
  SimdTable<Entry<float>> f32;
  SimdTable<Entry<double>> f64;

  template <class T>
  const auto& get() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return f32.get();
    } else {
      return f64.get();
    }
  }

  [[gnu::always_inline]] bool add(int level, const typename SimdTable<Entry<float>>::Entry& for_f32,
                                  const typename SimdTable<Entry<double>>::Entry& for_f64) {
    return f32.add(level, for_f32) && f64.add(level, for_f64);
  }
};

}  // namespace tessera::simd
