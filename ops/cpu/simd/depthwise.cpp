// See depthwise.h. kPixels neighbouring outputs are summed together, so that a weight is loaded once for all of them.
#include "ops/cpu/simd/depthwise.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

using simd::DepthwiseOutput, simd::DepthwiseRow;

using vec::Wide;

constexpr int kPixels = 4;
constexpr int kBorderVectors = 4;  // summed together at the border, where there is one output at a time

struct Range {
  i64 begin, end;
};

// The outputs j in [0, outputs) for which j * step + w lies in [0, width).
[[gnu::always_inline]] inline Range inside(i64 outputs, i64 step, i64 width, i64 w) {
  i64 begin = w >= 0 ? 0 : (-w + step - 1) / step;
  i64 end = width - w <= 0 ? 0 : (width - w + step - 1) / step;
  if (end > outputs) end = outputs;
  if (begin > end) begin = end;
  return {begin, end};
}

// kCount outputs from j on, for kVectors vectors of channels from c on; the border checks every position.
template <class T, class Lanes, int kCount, int kVectors, bool kBorder>
[[gnu::always_inline]] inline void outputs(const DepthwiseRow<T>& row, const DepthwiseOutput<T>& output, i64 j, i64 c) {
  using Value = typename Lanes::Value;
  Value sum[kCount][kVectors];
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      sum[u][v] = output.bias ? Lanes::load(output.bias + c + v * Lanes::kLanes) : Value{};
  }
  for (i64 t = 0; t < row.positions; ++t) {
    const i64 w = j * row.step + row.offset_w[t];
    if (kBorder && (w < 0 || w >= row.width)) continue;
    const T* x = row.rows[t] + w * row.channels + c;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Value weight = Lanes::load(output.weights[t] + c + v * Lanes::kLanes);
#pragma GCC unroll 8
      for (int u = 0; u < kCount; ++u)
        sum[u][v] += Lanes::load(x + u * row.step * row.channels + v * Lanes::kLanes) * weight;
    }
  }
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const i64 at = (j + u) * output.pitch + c + v * Lanes::kLanes;
      if (output.residual) sum[u][v] += Lanes::load(output.residual + at);
      Lanes::store(output.out + at, output.relu ? Lanes::clamp(sum[u][v], output.ceiling) : sum[u][v]);
    }
  }
}

// The same for kPixels outputs inside the image and positions in threes that are neighbours, as those of a 3x3 kernel
// are: a pixel is loaded once for all outputs that see it. The sums have the same order.
template <class T, int kStep>
[[gnu::always_inline]] inline void outputs_of_threes(const DepthwiseRow<T>& row, const DepthwiseOutput<T>& output,
                                                     i64 j, i64 c) {
  using Vector = vec::Vector<T>;
  constexpr int kColumns = (kPixels - 1) * kStep + 3;
  Vector sum[kPixels];
#pragma GCC unroll 8
  for (int u = 0; u < kPixels; ++u) sum[u] = output.bias ? vec::load(output.bias + c) : Vector{};
  for (i64 t = 0; t < row.positions; t += 3) {
    const T* x = row.rows[t] + (j * kStep + row.offset_w[t]) * row.channels + c;
    Vector weight[3], column[kColumns];
#pragma GCC unroll 8
    for (int k = 0; k < 3; ++k) weight[k] = vec::load(output.weights[t + k] + c);
#pragma GCC unroll 16
    for (int k = 0; k < kColumns; ++k) column[k] = vec::load(x + k * row.channels);
#pragma GCC unroll 8
    for (int k = 0; k < 3; ++k) {
#pragma GCC unroll 8
      for (int u = 0; u < kPixels; ++u) sum[u] += column[u * kStep + k] * weight[k];
    }
  }
#pragma GCC unroll 8
  for (int u = 0; u < kPixels; ++u) {
    const i64 at = (j + u) * output.pitch + c;
    if (output.residual) sum[u] += vec::load(output.residual + at);
    vec::store(output.out + at, output.relu ? vec::clamp<T>(sum[u], output.ceiling) : sum[u]);
  }
}

template <class T>
bool in_threes(const DepthwiseRow<T>& row) {
  if (row.positions % 3 != 0 || row.step > 2) return false;
  for (i64 t = 0; t < row.positions; ++t)
    if (row.rows[t] != row.rows[t / 3 * 3] || row.offset_w[t] != row.offset_w[t / 3 * 3] + t % 3) return false;
  return true;
}

// The outputs [j, j + kCount) for the channels [begin, end).
template <class T, int kCount, bool kBorder>
[[gnu::always_inline]] inline void all_channels(const DepthwiseRow<T>& row, const DepthwiseOutput<T>& output, i64 j,
                                                i64 begin, i64 end) {
  constexpr i64 kLanes = vec::kLanes<T>;
  i64 c = begin;
  if (kBorder)
    for (; c + kBorderVectors * kLanes <= end; c += kBorderVectors * kLanes)
      outputs<T, Wide<T>, kCount, kBorderVectors, kBorder>(row, output, j, c);
  vec::each_channel<T>(
      c, end, [&](auto lanes, i64 at) { outputs<T, decltype(lanes), kCount, 1, kBorder>(row, output, j, at); });
}

// Pixels outside, channels inside, so that memory is read in order; in blocks of channels whose weights and pixels fit
// the first-level cache.
template <class T>
void forward(const DepthwiseRow<T>& row, const DepthwiseOutput<T>& output) {
  constexpr i64 kBlock = 256;
  Range inner{0, row.outputs};
  for (i64 t = 0; t < row.positions; ++t) {
    const Range range = inside(row.outputs, row.step, row.width, row.offset_w[t]);
    if (range.begin > inner.begin) inner.begin = range.begin;
    if (range.end < inner.end) inner.end = range.end;
  }
  if (inner.begin > inner.end) inner.begin = inner.end;
  const bool threes = in_threes(row);
  for (i64 begin = 0; begin < row.channels; begin += kBlock) {
    const i64 end = begin + kBlock < row.channels ? begin + kBlock : row.channels;
    for (i64 j = 0; j < inner.begin; ++j) all_channels<T, 1, true>(row, output, j, begin, end);
    // The last group of kPixels may overlap the one before; fewer pixels than a group are treated like the border.
    const i64 groups = inner.end - inner.begin < kPixels ? 0 : (inner.end - inner.begin + kPixels - 1) / kPixels;
    for (i64 group = 0; group < groups; ++group) {
      const i64 next = inner.begin + group * kPixels, last = inner.end - kPixels, j = next < last ? next : last;
      i64 c = begin;
      if (threes && row.step == 1)
        for (; c + vec::kLanes<T> <= end; c += vec::kLanes<T>) outputs_of_threes<T, 1>(row, output, j, c);
      if (threes && row.step == 2)
        for (; c + vec::kLanes<T> <= end; c += vec::kLanes<T>) outputs_of_threes<T, 2>(row, output, j, c);
      all_channels<T, kPixels, false>(row, output, j, c, end);
    }
    for (i64 j = groups ? inner.end : inner.begin; j < row.outputs; ++j)
      all_channels<T, 1, true>(row, output, j, begin, end);
  }
}

template <class T, class Lanes>
[[gnu::always_inline]] inline void weight_channels(const DepthwiseRow<T>& row, const T* gy, T* const* sums, i64 c) {
  const i64 pitch = row.step * row.channels;
  for (i64 t = 0; t < row.positions; ++t) {
    const Range range = inside(row.outputs, row.step, row.width, row.offset_w[t]);
    typename Lanes::Value sum[kPixels] = {};
    const T* x = row.rows[t] + (range.begin * row.step + row.offset_w[t]) * row.channels + c;
    const T* g = gy + range.begin * row.channels + c;
    i64 left = range.end - range.begin;
    for (; left >= kPixels; left -= kPixels, x += kPixels * pitch, g += kPixels * row.channels)
#pragma GCC unroll 8
      for (int u = 0; u < kPixels; ++u) sum[u] += Lanes::load(x + u * pitch) * Lanes::load(g + u * row.channels);
    for (; left > 0; --left, x += pitch, g += row.channels) sum[0] += Lanes::load(x) * Lanes::load(g);
    Lanes::store(sums[t] + c, Lanes::load(sums[t] + c) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
  }
}

template <class T>
void weight(const DepthwiseRow<T>& row, const T* gy, T* const* sums) {
  vec::each_channel<T>(0, row.channels,
                       [&](auto lanes, i64 c) { weight_channels<T, decltype(lanes)>(row, gy, sums, c); });
}

template <class T>
constexpr simd::DepthwiseKernels<T> kKernels = {forward<T>, weight<T>};

[[maybe_unused]] const bool kAdded = simd::depthwise_kernels.add(TESSERA_SIMD_LEVEL, kKernels<float>, kKernels<double>);

}  // namespace
}  // namespace tessera
