// See winograd.h. A vector of channels at a time; each transform goes along the rows first, then along the columns.
#include "ops/cpu/simd/winograd.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

using simd::kWinogradA, simd::kWinogradB, simd::WinogradOutput;

constexpr int kTile = simd::kWinogradTile, kPatch = simd::kWinogradPatch;

template <class T>
struct Coefficients {
  static constexpr double kA = kWinogradA, kB = kWinogradB;
  static constexpr T a = T(kA), b = T(kB), aa = T(kA * kA), bb = T(kB * kB);
  static constexpr T aab = T(kA * kA * kB), abb = T(kA * kB * kB), aabb = T(kA * kA * kB * kB),
                     sum = T(kA * kA + kB * kB);
  static constexpr T aaa = T(kA * kA * kA), bbb = T(kB * kB * kB);
};

// out = B^T d
template <class T, class Value>
[[gnu::always_inline]] inline void transform_input(const Value (&d)[kPatch], Value (&out)[kPatch]) {
  using K = Coefficients<T>;
  const Value even_a = d[4] - K::bb * d[2], odd_a = K::a * d[3] - K::abb * d[1];
  const Value even_b = d[4] - K::aa * d[2], odd_b = K::b * d[3] - K::aab * d[1];
  out[0] = K::aabb * d[0] + (d[4] - K::sum * d[2]);
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = K::aabb * d[1] + (d[5] - K::sum * d[3]);
}

// out = A^T m
template <class T, class Value>
[[gnu::always_inline]] inline void transform_output(const Value (&m)[kPatch], Value (&out)[kTile]) {
  using K = Coefficients<T>;
  const Value even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
  out[0] = m[0] + (even_a + even_b);
  out[1] = K::a * odd_a + K::b * odd_b;
  out[2] = K::aa * even_a + K::bb * even_b;
  out[3] = m[5] + (K::aaa * odd_a + K::bbb * odd_b);
}

template <class T, class Lanes>
[[gnu::always_inline]] inline void input_channels(const T* const* pixels, i64 c, T* v, i64 slice) {
  using Value = typename Lanes::Value;
  Value rows[kPatch][kPatch];
#pragma GCC unroll 8
  for (int i = 0; i < kPatch; ++i) {
    Value d[kPatch];
#pragma GCC unroll 8
    for (int j = 0; j < kPatch; ++j) d[j] = Lanes::load(pixels[i * kPatch + j] + c);
    transform_input<T>(d, rows[i]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kPatch; ++j) {
    Value d[kPatch], out[kPatch];
#pragma GCC unroll 8
    for (int i = 0; i < kPatch; ++i) d[i] = rows[i][j];
    transform_input<T>(d, out);
#pragma GCC unroll 8
    for (int i = 0; i < kPatch; ++i) Lanes::store(v + (i * kPatch + j) * slice + c, out[i]);
  }
}

template <class T>
void input(const T* const* pixels, i64 channels, T* v, i64 slice) {
  vec::each_channel<T>(0, channels,
                       [&](auto lanes, i64 c) { input_channels<T, decltype(lanes)>(pixels, c, v, slice); });
}

template <class T, class Lanes, bool kWhole>
[[gnu::always_inline]] inline void output_channels(const WinogradOutput<T>& o, i64 c) {
  using Value = typename Lanes::Value;
  Value rows[kPatch][kTile];
#pragma GCC unroll 8
  for (int i = 0; i < kPatch; ++i) {
    Value m[kPatch];
#pragma GCC unroll 8
    for (int j = 0; j < kPatch; ++j) m[j] = Lanes::load(o.m + (i * kPatch + j) * o.slice + c);
    transform_output<T>(m, rows[i]);
  }
  const Value bias = o.bias ? Lanes::load(o.bias + c) : Value{};
#pragma GCC unroll 8
  for (int s = 0; s < kTile; ++s) {
    if (!kWhole && s >= o.columns) break;
    Value m[kPatch], out[kTile];
#pragma GCC unroll 8
    for (int i = 0; i < kPatch; ++i) m[i] = rows[i][s];
    transform_output<T>(m, out);
#pragma GCC unroll 8
    for (int r = 0; r < kTile; ++r) {
      if (!kWhole && r >= o.rows) break;
      const i64 at = r * o.row_pitch + s * o.pixel_pitch + c;
      Value y = out[r] + bias;
      if (o.residual) y += Lanes::load(o.residual + at);
      Lanes::store(o.y + at, o.relu ? Lanes::clamp(y, o.ceiling) : y);
    }
  }
}

template <class T, bool kWhole>
[[gnu::always_inline]] inline void all_channels(const WinogradOutput<T>& o) {
  vec::each_channel<T>(0, o.channels, [&](auto lanes, i64 c) { output_channels<T, decltype(lanes), kWhole>(o, c); });
}

template <class T>
void output(const WinogradOutput<T>& o) {
  if (o.rows == kTile && o.columns == kTile) {
    all_channels<T, true>(o);
  } else {
    all_channels<T, false>(o);
  }
}

// out = G w
template <class Value>
[[gnu::always_inline]] inline void transform_weight(const Value (&w)[3], Value (&out)[kPatch]) {
  constexpr double a = kWinogradA, b = kWinogradB, aa = a * a, bb = b * b;
  constexpr double at_0 = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)), at_b = 1 / (2 * bb * (bb - aa));
  const Value even_a = at_a * (w[0] + aa * w[2]), odd_a = (a * at_a) * w[1];
  const Value even_b = at_b * (w[0] + bb * w[2]), odd_b = (b * at_b) * w[1];
  out[0] = at_0 * w[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = w[2];
}

// As many numbers in f64 as a vector of T has.
template <class T>
struct Exact {
  typedef double Vector __attribute__((vector_size(vec::kLanes<T> * sizeof(double))));
};

template <class T>
void weight(const T* w, i64 count, T* u, i64 slice, i64 stride) {
  constexpr int kLanes = vec::kLanes<T>;
  using Doubles = typename Exact<T>::Vector;
  for (i64 i = 0; i < count; ++i) {
    Doubles rows[3][kPatch], columns[kPatch];  // of the kernel, transposed: [column][row]
    for (int column = 0; column < 3; ++column) {
      Doubles kernel[3];
      for (int row = 0; row < 3; ++row)
        kernel[row] = __builtin_convertvector(vec::load(w + ((row * 3 + column) * count + i) * kLanes), Doubles);
      transform_weight<Doubles>(kernel, rows[column]);
    }
    for (int row = 0; row < kPatch; ++row) {
      const Doubles across[3] = {rows[0][row], rows[1][row], rows[2][row]};
      transform_weight<Doubles>(across, columns);
      for (int column = 0; column < kPatch; ++column)
        vec::store(u + (row * kPatch + column) * slice + i * stride,
                   __builtin_convertvector(columns[column], vec::Vector<T>));
    }
  }
}

template <class T>
constexpr simd::WinogradKernels<T> kKernels = {input<T>, output<T>, weight<T>};

[[maybe_unused]] const bool kAdded = simd::winograd_kernels.add(TESSERA_SIMD_LEVEL, kKernels<float>, kKernels<double>);

}  // namespace
}  // namespace tessera
