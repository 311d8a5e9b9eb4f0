// See bilinear.h.
#include "ops/cpu/simd/bilinear.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

template <class T>
void blend(const T* const corners[4], const T weights[4], i64 channels, T* out) {
  const T *a = corners[0], *b = corners[1], *c = corners[2], *d = corners[3];
  const T wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  i64 i = 0;
  for (; i + vec::kLanes<T> <= channels; i += vec::kLanes<T>)
    vec::store(out + i, vec::load(a + i) * wa + vec::load(b + i) * wb + vec::load(c + i) * wc + vec::load(d + i) * wd);
  for (; i < channels; ++i) out[i] = a[i] * wa + b[i] * wb + c[i] * wc + d[i] * wd;
}

template <class T>
void dot(const T* const corners[4], const T* g, i64 channels, T dots[4]) {
  vec::Vector<T> sums[4] = {};
  i64 i = 0;
  for (; i + vec::kLanes<T> <= channels; i += vec::kLanes<T>) {
    const vec::Vector<T> gradient = vec::load(g + i);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) sums[k] += vec::load(corners[k] + i) * gradient;
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    T sum = 0;
    for (int lane = 0; lane < vec::kLanes<T>; ++lane) sum += sums[k][lane];
    for (i64 rest = i; rest < channels; ++rest) sum += corners[k][rest] * g[rest];
    dots[k] += sum;
  }
}

template <class T>
void scatter(T* const corners[4], const T weights[4], const T* g, i64 channels) {
  for (int k = 0; k < 4; ++k) {
    T* to = corners[k];
    if (!to) continue;
    const T weight = weights[k];
    i64 i = 0;
    for (; i + vec::kLanes<T> <= channels; i += vec::kLanes<T>)
      vec::store(to + i, vec::load(to + i) + vec::load(g + i) * weight);
    for (; i < channels; ++i) to[i] += g[i] * weight;
  }
}

template <class T>
void fill(BilinearKernels<T>& kernels) {
  kernels = {blend<T>, dot<T>, scatter<T>};
}

const bool kAdded = bilinear_kernels_table.add(TESSERA_SIMD_LEVEL, fill<float>, fill<double>);

}  // namespace
}  // namespace tessera
