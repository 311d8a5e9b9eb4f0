// See masks.h. Compiled without fused multiply-adds: which pixels are above a threshold must not depend on the level.
#include "ops/cpu/simd/masks.h"

namespace tessera {
namespace {

template <int kCount, class T>
void weighted(const T* const* rows, const T* weights, i64 n, T* out) {
  const T *a = rows[0], *b = rows[kCount > 1 ? 1 : 0], *c = rows[kCount > 2 ? 2 : 0], *d = rows[kCount - 1];
  const T wa = weights[0], wb = weights[kCount > 1 ? 1 : 0], wc = weights[kCount > 2 ? 2 : 0], wd = weights[kCount - 1];
#pragma omp simd
  for (i64 i = 0; i < n; ++i) {
    T sum = wa * a[i];
    if (kCount > 1) sum += wb * b[i];
    if (kCount > 2) sum += wc * c[i];
    if (kCount > 3) sum += wd * d[i];
    out[i] = sum;
  }
}

template <class T>
void weighted_rows(const T* const* rows, const T* weights, i64 count, i64 n, T* out) {
  if (count == 1) weighted<1>(rows, weights, n, out);
  if (count == 2) weighted<2>(rows, weights, n, out);
  if (count == 3) weighted<3>(rows, weights, n, out);
  if (count == 4) weighted<4>(rows, weights, n, out);
}

// 64 comparisons as bytes, gathered into the bits of one word; the product moves the lowest bit of byte k to bit 56 +
// k.
template <class T>
[[gnu::always_inline]] inline u64 bits_above(const T* values, T limit) {
  alignas(64) u8 above[64];
#pragma omp simd
  for (i64 i = 0; i < 64; ++i) above[i] = values[i] > limit;
  u64 bits = 0;
#pragma GCC unroll 8
  for (i64 i = 0; i < 64; i += 8) {
    u64 eight;
    __builtin_memcpy(&eight, above + i, sizeof(eight));
    bits |= (eight * 0x0102040810204080 >> 56) << i;
  }
  return bits;
}

template <class T>
void mask_edges(const T* values, T limit, i64 n, u32 base, bool* above, u32* places, i64* count) {
  i64 found = 0, begin = 0;
  u64 before = *above;
  const auto take = [&](u64 changes) __attribute__((always_inline)) {
    for (; changes != 0; changes &= changes - 1)
      places[found++] = base + static_cast<u32>(begin + __builtin_ctzll(changes));
  };
  for (; begin + 64 <= n; begin += 64) {
    const u64 bits = bits_above(values + begin, limit);
    take(bits ^ (bits << 1 | before));
    before = bits >> 63;
  }
  for (; begin < n; ++begin) {
    const u64 bit = values[begin] > limit;
    take(bit ^ before);
    before = bit;
  }
  *above = before != 0;
  *count = found;
}

[[maybe_unused]] const bool kAdded[] = {
    simd::weighted_rows.add(TESSERA_SIMD_LEVEL, weighted_rows<float>, weighted_rows<double>),
    simd::mask_edges.add(TESSERA_SIMD_LEVEL, mask_edges<float>, mask_edges<double>),
};

}  // namespace
}  // namespace tessera
