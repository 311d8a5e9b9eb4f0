// Vectors as wide as the registers of the level that a file is compiled for. Only for files listed with tessera_simd():
// everything here is local to the file that includes it.
#pragma once

#include <cstdint>

namespace tessera {

using i64 = std::int64_t;

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

}  // namespace vec
}  // namespace
}  // namespace tessera
