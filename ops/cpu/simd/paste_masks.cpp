// See paste_masks.h. The compiler makes gathers of the two cells where the level has them.
#include "ops/cpu/simd/paste_masks.h"

#include "ops/scalar/numbers.h"

namespace tessera {
namespace {

template <class T>
void row(const T* cells, const i32* column, const T* fraction, i64 count, T threshold, u8* out, double* sum,
         i64* area) {
  T predicted = 0;
  i32 pixels = 0;  // a row has fewer than 2^31
#pragma omp simd reduction(+ : predicted, pixels)
  for (i64 i = 0; i < count; ++i) {
    const T left = cells[column[i]], right = cells[column[i] + 1];
    const T p = scalar::lerp(left, right, fraction[i]);
    const bool inside = p > threshold;
    out[i] = inside;
    predicted += inside ? p : T(0);
    pixels += inside;
  }
  *sum += static_cast<double>(predicted);
  *area += pixels;
}

[[maybe_unused]] const bool kAdded = simd::paste_row.add(TESSERA_SIMD_LEVEL, row<float>, row<double>);

}  // namespace
}  // namespace tessera
