// See bilinear.h.
#include "ops/cpu/simd/bilinear.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

template <class T>
void blend(const T* const corners[4], const T weights[4], i64 channels, T* out) {
  const T *a = corners[0], *b = corners[1], *c = corners[2], *d = corners[3];
  const T wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  vec::each_channel<T>(0, channels, [&](auto lanes, i64 i) {
    lanes.store(out + i,
                lanes.load(a + i) * wa + lanes.load(b + i) * wb + lanes.load(c + i) * wc + lanes.load(d + i) * wd);
  });
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
    vec::each_channel<T>(
        0, channels, [&](auto lanes, i64 i) { lanes.store(to + i, lanes.load(to + i) + lanes.load(g + i) * weight); });
  }
}

template <class T>
constexpr simd::BilinearKernels<T> kKernels = {blend<T>, dot<T>, scatter<T>};

[[maybe_unused]] const bool kAdded = simd::bilinear_kernels.add(TESSERA_SIMD_LEVEL, kKernels<float>, kKernels<double>);

}  // namespace
}  // namespace tessera
