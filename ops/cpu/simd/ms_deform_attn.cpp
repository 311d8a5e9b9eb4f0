// See ms_deform_attn.h. A head's channels are few (32 are two AVX-512 vectors), its samples many: so what is computed
// per sample runs along the samples, and what is summed runs along the channels of several corners side by side.
#include "ops/cpu/simd/ms_deform_attn.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

template <class T>
struct Integer {
  typedef std::int32_t Type;
  typedef std::int32_t Vector __attribute__((vector_size(vec::kBytes)));
};
template <>
struct Integer<double> {
  typedef i64 Type;
  typedef i64 Vector __attribute__((vector_size(vec::kBytes)));
};

template <class T>
void corners(const DeformAttnPlan<T>& plan, const T* locations, i64 first, i64 count, T* image, T* outside,
             const DeformAttnCorners<T>& to) {
  using Int = typename Integer<T>::Type;
  const T *width = plan.width + first, *height = plan.height + first, *location = locations + 2 * first;
  const i64 *level = plan.level + first, *line = plan.line + first, pixel = plan.pixel;
  T *right = to.right, *down = to.down, *w0 = to.weight, *w1 = w0 + count, *w2 = w1 + count, *w3 = w2 + count;
  T **at0 = to.at, **at1 = at0 + count, **at2 = at1 + count, **at3 = at2 + count;
#pragma GCC ivdep
  for (i64 s = 0; s < count; ++s) {
    T x = location[2 * s] * width[s] - T(0.5), y = location[2 * s + 1] * height[s] - T(0.5);
    const bool near = (x >= -1) & (x < width[s]) & (y >= -1) & (y < height[s]);  // NaN is not
    x = near ? x : T(-2);                                                        // all four corners are outside
    y = near ? y : T(-2);
    const Int xt = static_cast<Int>(x), yt = static_cast<Int>(y);
    const Int left = xt - (x < static_cast<T>(xt)), top = yt - (y < static_cast<T>(yt));
    const T fx = x - static_cast<T>(left), fy = y - static_cast<T>(top);
    right[s] = fx, down[s] = fy;
    w0[s] = (1 - fy) * (1 - fx), w1[s] = (1 - fy) * fx, w2[s] = fy * (1 - fx), w3[s] = fy * fx;
    const bool left_in = left >= 0, right_in = (left >= -1) & (left + 1 < static_cast<Int>(width[s]));
    const bool top_in = top >= 0, bottom_in = (top >= -1) & (top + 1 < static_cast<Int>(height[s]));
    const i64 offset = level[s] + top * line[s] + left * pixel;
    at0[s] = (top_in & left_in) ? image + offset : outside;
    at1[s] = (top_in & right_in) ? image + (offset + pixel) : outside;
    at2[s] = (bottom_in & left_in) ? image + (offset + line[s]) : outside;
    at3[s] = (bottom_in & right_in) ? image + (offset + line[s] + pixel) : outside;
  }
}

// Channels [c, c + kVectors) of a head: enough independent sums to hide the latency of the multiply-add units.
template <class T, int kVectors>
[[gnu::always_inline]] inline void attend_block(const DeformAttnPlan<T>& plan, T* const* at, const T* weight,
                                                const T* attention, i64 c, T* y) {
  constexpr int kLanes = vec::kLanes<T>, kSets = kVectors >= 4 ? 2 : 4;
  const i64 count = plan.head_samples;
  vec::Vector<T> sum[kSets][kVectors] = {};
  for (int corner = 0; corner < 4; ++corner, at += plan.samples, weight += plan.samples) {
    i64 s = 0;
    for (; s + kSets <= count; s += kSets) {
#pragma GCC unroll 4
      for (int set = 0; set < kSets; ++set) {
        const T w = weight[s + set] * attention[s + set];
        const T* from = at[s + set] + c;
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[set][v] += vec::load(from + v * kLanes) * w;
      }
    }
    for (; s < count; ++s) {
      const T w = weight[s] * attention[s];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[0][v] += vec::load(at[s] + c + v * kLanes) * w;
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
void attend(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention, T* y) {
  constexpr i64 kLanes = vec::kLanes<T>;
  for (i64 m = 0; m < plan.heads; ++m, y += plan.head_size) {
    const i64 first = m * plan.head_samples;
    T* const* at = corners.at + first;
    const T *weight = corners.weight + first, *shares = attention + first;
    i64 c = 0;
    for (; c + 4 * kLanes <= plan.head_size; c += 4 * kLanes) attend_block<T, 4>(plan, at, weight, shares, c, y);
    for (; c + 2 * kLanes <= plan.head_size; c += 2 * kLanes) attend_block<T, 2>(plan, at, weight, shares, c, y);
    for (; c + kLanes <= plan.head_size; c += kLanes) attend_block<T, 1>(plan, at, weight, shares, c, y);
    for (; c < plan.head_size; ++c) {
      T sum = 0;
      for (int corner = 0; corner < 4; ++corner)
        for (i64 s = 0; s < plan.head_samples; ++s)
          sum += at[corner * plan.samples + s][c] * (weight[corner * plan.samples + s] * shares[s]);
      y[c] = sum;
    }
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

// Lane k of the result: the dot product of rows[first + k] and g over the whole vectors of their channels. For all
// lanes together these are kLanes - 1 additions of neighbours, about one per row.
template <class T, int kRows>
[[gnu::always_inline]] inline vec::Vector<T> dots_of_rows(T* const* rows, const T* g, i64 vectors) {
  if constexpr (kRows == 1) {
    vec::Vector<T> sum = {};
    for (i64 v = 0; v < vectors; ++v)
      sum += vec::load(rows[0] + v * vec::kLanes<T>) * vec::load(g + v * vec::kLanes<T>);
    return sum;
  } else {
    return add_neighbours<T>(dots_of_rows<T, kRows / 2>(rows, g, vectors),
                             dots_of_rows<T, kRows / 2>(rows + kRows / 2, g, vectors));
  }
}

template <class T>
void dots_of_head(T* const* rows, i64 count, const T* g, i64 channels, T* dots) {
  constexpr i64 kLanes = vec::kLanes<T>;
  const i64 vectors = channels / kLanes;
  i64 r = 0;
  for (; r + kLanes <= count; r += kLanes) {
    const vec::Vector<T> sums = vectors == 2   ? dots_of_rows<T, kLanes>(rows + r, g, 2)
                                : vectors == 4 ? dots_of_rows<T, kLanes>(rows + r, g, 4)
                                               : dots_of_rows<T, kLanes>(rows + r, g, vectors);
    vec::store(dots + r, sums);
  }
  for (; r < count; ++r) {
    const vec::Vector<T> sum = dots_of_rows<T, 1>(rows + r, g, vectors);
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
  for (int corner = 0; corner < 4; ++corner)
    for (i64 m = 0; m < plan.heads; ++m) {
      const i64 first = corner * samples + m * plan.head_samples;
      dots_of_head(corners.at + first, plan.head_samples, gy + m * plan.head_size, plan.head_size, dots + first);
    }
  const T *d0 = dots, *d1 = d0 + samples, *d2 = d1 + samples, *d3 = d2 + samples;
  const T *w0 = corners.weight, *w1 = w0 + samples, *w2 = w1 + samples, *w3 = w2 + samples;
#pragma GCC ivdep
  for (i64 s = 0; s < samples; ++s) {
    const T fx = corners.right[s], fy = corners.down[s];
    gattention[s] = w0[s] * d0[s] + w1[s] * d1[s] + w2[s] * d2[s] + w3[s] * d3[s];
    glocations[2 * s] = attention[s] * plan.width[s] * ((1 - fy) * (d1[s] - d0[s]) + fy * (d3[s] - d2[s]));
    glocations[2 * s + 1] = attention[s] * plan.height[s] * ((1 - fx) * (d2[s] - d0[s]) + fx * (d3[s] - d1[s]));
  }
}

template <class T>
void scatter(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention, const T* gy) {
  constexpr i64 kLanes = vec::kLanes<T>;
  const i64 count = plan.head_samples;
  for (i64 s = 0; s < count; ++s)
    for (int corner = 0; corner < 4; ++corner) {
      T* to = corners.at[corner * count + s];
      const T weight = corners.weight[corner * count + s] * attention[s];
      i64 c = 0;
      for (; c + kLanes <= plan.head_size; c += kLanes)
        vec::store(to + c, vec::load(to + c) + vec::load(gy + c) * weight);
      for (; c < plan.head_size; ++c) to[c] += gy[c] * weight;
    }
}

template <class T>
void fill(DeformAttnKernels<T>& kernels) {
  kernels = {corners<T>, attend<T>, backward_weights<T>, scatter<T>};
}

const bool kAdded = deform_attn_kernels_table.add(TESSERA_SIMD_LEVEL, fill<float>, fill<double>);

}  // namespace
}  // namespace tessera
