// See ms_deform_attn.h. A head's channels are few (32 are two AVX-512 vectors), its samples many: what is computed per
// sample runs along the samples, and what is summed runs along the channels of several corners side by side.
#include "ops/cpu/simd/ms_deform_attn.h"

#include "ops/cpu/simd/vector.h"
#include "ops/scalar/bilinear.h"

namespace tessera {
namespace {

using simd::DeformAttnCorners, simd::DeformAttnPlan;

template <class T>
struct Integer {
  typedef i32 Type;
  typedef i32 Vector __attribute__((vector_size(vec::kBytes)));
};
template <>
struct Integer<double> {
  typedef i64 Type;
  typedef i64 Vector __attribute__((vector_size(vec::kBytes)));
};

template <class T>
void corners(const DeformAttnPlan<T>& plan, const T* location, const T* attention, T* tokens, T* outside,
             const DeformAttnCorners<T>& to) {
  using Int = typename Integer<T>::Type;
  const i64 count = plan.samples, pixel = plan.pixel, *level = plan.level, *line = plan.line;
  const T *width = plan.width, *height = plan.height;
  T *right = to.right, *down = to.down, *w0 = to.weight, *w1 = w0 + count, *w2 = w1 + count, *w3 = w2 + count;
  T **at0 = to.at, **at1 = at0 + count, **at2 = at1 + count, **at3 = at2 + count;
#pragma GCC ivdep
  for (i64 s = 0; s < count; ++s) {
    const auto at = scalar::bilinear_sample<T, Int>(location[2 * s + 1] * height[s] - T(0.5),
                                                    location[2 * s] * width[s] - T(0.5), height[s], width[s]);
    const Int H = static_cast<Int>(height[s]), W = static_cast<Int>(width[s]);
    right[s] = at.right, down[s] = at.down;
    w0[s] = at.weight(0) * attention[s], w1[s] = at.weight(1) * attention[s];
    w2[s] = at.weight(2) * attention[s], w3[s] = at.weight(3) * attention[s];
    const i64 offset = level[s] + at.top * line[s] + at.left * pixel;
    at0[s] = at.inside(0, H, W) ? tokens + offset : outside;
    at1[s] = at.inside(1, H, W) ? tokens + (offset + pixel) : outside;
    at2[s] = at.inside(2, H, W) ? tokens + (offset + line[s]) : outside;
    at3[s] = at.inside(3, H, W) ? tokens + (offset + line[s] + pixel) : outside;
  }
}

// kVectors vectors of channels, in kSets sums: enough independent ones to hide the latency of the multiply-add units.
// The number of corners is a multiple of kSets.
template <class T, int kVectors>
[[gnu::always_inline]] inline void attend_block(const DeformAttnCorners<T>& corners, i64 count, i64 c, T* y) {
  constexpr int kLanes = vec::kLanes<T>, kSets = kVectors >= 4 ? 2 : 4;
  vec::Vector<T> sum[kSets][kVectors] = {};
  i64 k = 0;
  for (; k + kSets <= count; k += kSets) {
#pragma GCC unroll 4
    for (int set = 0; set < kSets; ++set) {
      const T* from = corners.at[k + set] + c;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[set][v] += vec::load(from + v * kLanes) * corners.weight[k + set];
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    vec::Vector<T> total = sum[0][v] + sum[1][v];
    if (kSets == 4) total += sum[2 % kSets][v] + sum[3 % kSets][v];
    vec::store(y + c + v * kLanes, total);
  }
}

template <class T>
void attend(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, T* y) {
  constexpr i64 kLanes = vec::kLanes<T>;
  const i64 channels = plan.channels, count = 4 * plan.samples;
  i64 c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) attend_block<T, 4>(corners, count, c, y);
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) attend_block<T, 2>(corners, count, c, y);
  for (; c + kLanes <= channels; c += kLanes) attend_block<T, 1>(corners, count, c, y);
  for (; c < channels; ++c) {
    T sum = 0;
    for (i64 k = 0; k < count; ++k) sum += corners.at[k][c] * corners.weight[k];
    y[c] = sum;
  }
}

// Two vectors of partial sums in one: neighbouring lanes are added, those of a come first.
template <class T>
[[gnu::always_inline]] inline vec::Vector<T> add_neighbours(vec::Vector<T> a, vec::Vector<T> b) {
  typename Integer<T>::Vector even, odd;
#pragma GCC unroll 16
  for (int lane = 0; lane < vec::kLanes<T>; ++lane) even[lane] = 2 * lane, odd[lane] = 2 * lane + 1;
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
}

// Lane k of the result: the dot product of rows[k] and g over the whole vectors of their channels. For all
// lanes together these are kLanes - 1 additions of neighbours, about one per row.
template <class T, int kRows>
[[gnu::always_inline]] inline vec::Vector<T> dots_of_vectors(T* const* rows, const T* g, i64 vectors) {
  if constexpr (kRows == 1) {
    vec::Vector<T> sum = {};
    for (i64 v = 0; v < vectors; ++v)
      sum += vec::load(rows[0] + v * vec::kLanes<T>) * vec::load(g + v * vec::kLanes<T>);
    return sum;
  } else {
    return add_neighbours<T>(dots_of_vectors<T, kRows / 2>(rows, g, vectors),
                             dots_of_vectors<T, kRows / 2>(rows + kRows / 2, g, vectors));
  }
}

template <class T>
void dots_of_rows(T* const* rows, i64 count, const T* g, i64 channels, T* dots) {
  constexpr i64 kLanes = vec::kLanes<T>;
  const i64 vectors = channels / kLanes;
  i64 r = 0;
  for (; r + kLanes <= count; r += kLanes) {
    const vec::Vector<T> sums = vectors == 2   ? dots_of_vectors<T, kLanes>(rows + r, g, 2)
                                : vectors == 4 ? dots_of_vectors<T, kLanes>(rows + r, g, 4)
                                               : dots_of_vectors<T, kLanes>(rows + r, g, vectors);
    vec::store(dots + r, sums);
  }
  for (; r < count; ++r) {
    const vec::Vector<T> sum = dots_of_vectors<T, 1>(rows + r, g, vectors);
    dots[r] = 0;
    for (int lane = 0; lane < kLanes; ++lane) dots[r] += sum[lane];
  }
  for (i64 c = vectors * kLanes; c < channels; ++c)
    for (i64 row = 0; row < count; ++row) dots[row] += rows[row][c] * g[c];
}

template <class T>
void backward_weights(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention,
                      const T* gy, T* dots, T* glocations, T* gattention) {
  const i64 samples = plan.samples;
  dots_of_rows(corners.at, 4 * samples, gy, plan.channels, dots);
  const T *d0 = dots, *d1 = d0 + samples, *d2 = d1 + samples, *d3 = d2 + samples;
#pragma GCC ivdep
  for (i64 s = 0; s < samples; ++s) {
    const scalar::BilinearSample<T, i32> at{.down = corners.down[s], .right = corners.right[s]};
    const T d[4] = {d0[s], d1[s], d2[s], d3[s]};
    gattention[s] = at.blend(d);
    glocations[2 * s] = attention[s] * plan.width[s] * at.slope_right(d);
    glocations[2 * s + 1] = attention[s] * plan.height[s] * at.slope_down(d);
  }
}

template <class T, int kVectors>
[[gnu::always_inline]] inline void scatter_block(const DeformAttnCorners<T>& corners, i64 count, i64 c, const T* gy) {
  constexpr int kLanes = vec::kLanes<T>;
  vec::Vector<T> gradient[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) gradient[v] = vec::load(gy + c + v * kLanes);
  for (i64 k = 0; k < count; ++k) {
    T* to = corners.at[k] + c;
    const T weight = corners.weight[k];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) vec::store(to + v * kLanes, vec::load(to + v * kLanes) + gradient[v] * weight);
  }
}

template <class T>
void scatter(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* gy) {
  constexpr i64 kLanes = vec::kLanes<T>;
  const i64 channels = plan.channels, count = 4 * plan.samples;
  i64 c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) scatter_block<T, 4>(corners, count, c, gy);
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) scatter_block<T, 2>(corners, count, c, gy);
  for (; c + kLanes <= channels; c += kLanes) scatter_block<T, 1>(corners, count, c, gy);
  for (; c < channels; ++c)
    for (i64 k = 0; k < count; ++k) corners.at[k][c] += gy[c] * corners.weight[k];
}

template <class T>
constexpr simd::DeformAttnKernels<T> kKernels = {corners<T>, attend<T>, backward_weights<T>, scatter<T>};

[[maybe_unused]] const bool kAdded =
    simd::deform_attn_kernels.add(TESSERA_SIMD_LEVEL, kKernels<float>, kKernels<double>);

}  // namespace
}  // namespace tessera
