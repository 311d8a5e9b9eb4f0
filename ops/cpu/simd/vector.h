// Vectors as wide as the registers of the level that a file is compiled for. Only for files listed with tessera_simd():
// everything here is local to the file that includes it.
#pragma once

#include "ops/cpu/simd/simd_table.h"

#if TESSERA_SIMD_LEVEL >= 2
#include <immintrin.h>
#endif

namespace tessera {
namespace {
namespace vec {

constexpr int kBytes = TESSERA_SIMD_LEVEL >= 2 ? 64 : TESSERA_SIMD_LEVEL == 1 ? 32 : 16;

template <class T>
constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));

template <class T>
struct Types {
  typedef T Vector __attribute__((vector_size(kBytes)));
  typedef T Unaligned __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
  typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <class T>
using Vector = typename Types<T>::Vector;

template <class T>
[[gnu::always_inline]] inline Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename Types<T>::Unaligned*>(from);
}

template <class T>
[[gnu::always_inline]] inline void store(T* to, Vector<T> value) {
  *reinterpret_cast<typename Types<T>::Unaligned*>(to) = value;
}

// As many numbers of type T as a register holds of type To, converted.
template <class To, class T>
[[gnu::always_inline]] inline Vector<To> load_as(const T* from) {
  typedef T Numbers __attribute__((vector_size(kLanes<To> * sizeof(T)), aligned(alignof(T)), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Numbers*>(from), Vector<To>);
}

// The first `count` elements alone, the others 0; count >= 1. AVX-512 has masks for it.
template <class T>
[[gnu::always_inline]] inline Vector<T> load_first(const T* from, i64 count) {
#if TESSERA_SIMD_LEVEL >= 2
  if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
  if constexpr (sizeof(T) == 8) return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), from);
#endif
  Vector<T> value = {};
  for (i64 i = 0; i < count; ++i) value[i] = from[i];
  return value;
}

template <class T>
[[gnu::always_inline]] inline void store_first(T* to, Vector<T> value, i64 count) {
#if TESSERA_SIMD_LEVEL >= 2
  if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), value);
  if constexpr (sizeof(T) == 8) return _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1), value);
#endif
  for (i64 i = 0; i < count; ++i) to[i] = value[i];
}

// max(0, x), where NaN stays NaN.
template <class T>
[[gnu::always_inline]] inline Vector<T> relu(Vector<T> x) {
  return x < T(0) ? Vector<T>{} : x;
}

// min(max(0, x), ceiling), where NaN stays NaN.
template <class T>
[[gnu::always_inline]] inline Vector<T> clamp(Vector<T> x, T ceiling) {
  const Vector<T> positive = relu<T>(x), highest = Vector<T>{} + ceiling;
  return positive > highest ? highest : positive;
}

// A vector of channels, or one channel where fewer than a vector are left: for code that is written once for both.
template <class T>
struct Wide {
  static constexpr int kLanes = vec::kLanes<T>;
  using Value = Vector<T>;
  [[gnu::always_inline]] static Value load(const T* from) { return vec::load(from); }
  [[gnu::always_inline]] static void store(T* to, Value value) { vec::store(to, value); }
  [[gnu::always_inline]] static Value relu(Value x) { return vec::relu<T>(x); }
  [[gnu::always_inline]] static Value clamp(Value x, T ceiling) { return vec::clamp<T>(x, ceiling); }
};
template <class T>
struct One {
  static constexpr int kLanes = 1;
  using Value = T;
  [[gnu::always_inline]] static Value load(const T* from) { return *from; }
  [[gnu::always_inline]] static void store(T* to, Value value) { *to = value; }
  [[gnu::always_inline]] static Value relu(Value x) { return x < 0 ? T(0) : x; }
  [[gnu::always_inline]] static Value clamp(Value x, T ceiling) { return x < 0 ? T(0) : x > ceiling ? ceiling : x; }
};

// visit(lanes, c) for all vectors of the channels [begin, end), lanes being a Wide<T>, and then for each channel of the
// rest, lanes being a One<T>.
template <class T, class Visit>
[[gnu::always_inline]] inline void each_channel(i64 begin, i64 end, const Visit& visit) {
  i64 c = begin;
  for (; c + kLanes<T> <= end; c += kLanes<T>) visit(Wide<T>{}, c);
  for (; c < end; ++c) visit(One<T>{}, c);
}

}  // namespace vec
}  // namespace
}  // namespace tessera
