// See sps_tiles.h.
#include "ops/cpu/simd/sps_tiles.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

template <class T, class W>
[[gnu::always_inline]] inline void input_step(const T* const rows[16], i64 c, T* out, i64 stride) {
  typename W::Value d[16];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // columns: B' d
    const auto d0 = W::load(rows[j] + c), d1 = W::load(rows[4 + j] + c), d2 = W::load(rows[8 + j] + c),
               d3 = W::load(rows[12 + j] + c);
    d[j] = d0 - d2;
    d[4 + j] = d1 + d2;
    d[8 + j] = d2 - d1;
    d[12 + j] = d1 - d3;
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // rows: (B' d) B
    T* to = out + 4 * i * stride;
    W::store(to, d[4 * i] - d[4 * i + 2]);
    W::store(to + stride, d[4 * i + 1] + d[4 * i + 2]);
    W::store(to + 2 * stride, d[4 * i + 2] - d[4 * i + 1]);
    W::store(to + 3 * stride, d[4 * i + 1] - d[4 * i + 3]);
  }
}

template <class T, class W>
[[gnu::always_inline]] inline void output_step(const T* m, i64 stride, const T* bias, bool relu, i64 c,
                                               T* const rows[4]) {
  typename W::Value low[4], high[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // A' m
    const auto m0 = W::load(m + j * stride), m1 = W::load(m + (4 + j) * stride), m2 = W::load(m + (8 + j) * stride),
               m3 = W::load(m + (12 + j) * stride);
    low[j] = m0 + m1 + m2;
    high[j] = m1 - m2 - m3;
  }
  typename W::Value y[4] = {low[0] + low[1] + low[2], low[1] - low[2] - low[3], high[0] + high[1] + high[2],
                            high[1] - high[2] - high[3]};
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    if (!rows[k]) continue;
    auto value = y[k];
    if (bias) value += W::load(bias + c);
    if (relu) value = W::relu(value);
    W::store(rows[k] + c, value);
  }
}

template <class T, class W>
[[gnu::always_inline]] inline void output_gradient_step(const T* const rows[4], i64 c, T* out, i64 stride) {
  const auto a = W::load(rows[0] + c), b = W::load(rows[1] + c), d = W::load(rows[2] + c), e = W::load(rows[3] + c);
  const typename W::Value left[4] = {a, a + d, a - d, -d}, right[4] = {b, b + e, b - e, -e};  // A g
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // (A g) A'
    T* to = out + 4 * i * stride;
    W::store(to, left[i]);
    W::store(to + stride, left[i] + right[i]);
    W::store(to + 2 * stride, left[i] - right[i]);
    W::store(to + 3 * stride, -right[i]);
  }
}

template <class T, class W>
[[gnu::always_inline]] inline void add_input_gradient_step(const T* v, i64 stride, i64 c, T* const rows[16]) {
  typename W::Value d[16];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // columns: B g
    const auto v0 = W::load(v + j * stride), v1 = W::load(v + (4 + j) * stride), v2 = W::load(v + (8 + j) * stride),
               v3 = W::load(v + (12 + j) * stride);
    d[j] = v0;
    d[4 + j] = v1 - v2 + v3;
    d[8 + j] = v1 + v2 - v0;
    d[12 + j] = -v3;
  }
  const auto add = [&](int k, typename W::Value value) {
    if (rows[k]) W::store(rows[k] + c, W::load(rows[k] + c) + value);
  };
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // rows: (B g) B'
    const auto d0 = d[4 * i], d1 = d[4 * i + 1], d2 = d[4 * i + 2], d3 = d[4 * i + 3];
    add(4 * i, d0);
    add(4 * i + 1, d1 - d2 + d3);
    add(4 * i + 2, d1 + d2 - d0);
    add(4 * i + 3, -d3);
  }
}

template <class T, class W>
[[gnu::always_inline]] inline void sum_positions_step(const T* const rows[9], const T* bias, bool relu, i64 c, T* out) {
  auto y = W::load(rows[0] + c);
#pragma GCC unroll 8
  for (int k = 1; k < 9; ++k) y += W::load(rows[k] + c);
  if (bias) y += W::load(bias + c);
  if (relu) y = W::relu(y);
  W::store(out + c, y);
}

template <class T>
void input(const T* const rows[16], i64 offset, i64 channels, T* out, i64 stride) {
  vec::each_channel<T>(0, channels,
                       [&](auto lanes, i64 c) { input_step<T, decltype(lanes)>(rows, offset + c, out + c, stride); });
}

template <class T>
void output(const T* m, i64 stride, const T* bias, bool relu, i64 channels, T* const rows[4]) {
  vec::each_channel<T>(0, channels,
                       [&](auto lanes, i64 c) { output_step<T, decltype(lanes)>(m + c, stride, bias, relu, c, rows); });
}

template <class T>
void output_gradient(const T* const rows[4], i64 channels, T* out, i64 stride) {
  vec::each_channel<T>(0, channels,
                       [&](auto lanes, i64 c) { output_gradient_step<T, decltype(lanes)>(rows, c, out + c, stride); });
}

template <class T>
void add_input_gradient(const T* v, i64 stride, i64 channels, T* const rows[16]) {
  vec::each_channel<T>(0, channels,
                       [&](auto lanes, i64 c) { add_input_gradient_step<T, decltype(lanes)>(v + c, stride, c, rows); });
}

template <class T>
void add(const T* x, i64 count, T* out) {
  vec::each_channel<T>(0, count,
                       [&](auto lanes, i64 i) { lanes.store(out + i, lanes.load(out + i) + lanes.load(x + i)); });
}

template <class T>
void sum_positions(const T* const rows[9], const T* bias, bool relu, i64 channels, T* out) {
  vec::each_channel<T>(0, channels,
                       [&](auto lanes, i64 c) { sum_positions_step<T, decltype(lanes)>(rows, bias, relu, c, out); });
}

template <class T>
constexpr simd::SpsTileKernels<T> kKernels = {input<T>, output<T>,       output_gradient<T>, add_input_gradient<T>,
                                              add<T>,   sum_positions<T>};

[[maybe_unused]] const bool kAdded = simd::sps_tile_kernels.add(TESSERA_SIMD_LEVEL, kKernels<float>, kKernels<double>);

}  // namespace
}  // namespace tessera
