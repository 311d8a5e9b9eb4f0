// Element types. The CPU computes in f32 and f64; f16 and bf16 are storage only; indices are i64 or i32, masks u8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "tensor/error.h"

namespace tessera {

using i64 = std::int64_t;
using i32 = std::int32_t;
using u64 = std::uint64_t;
using u32 = std::uint32_t;
using u16 = std::uint16_t;
using u8 = std::uint8_t;

// IEEE binary16 and bfloat16 as stored; conversion rounds to nearest even. NaN stays NaN, overflow becomes infinity.
struct Half {
  u16 bits;
  static Half from(float value);
  float to_float() const;
};
struct BFloat16 {
  u16 bits;
  static BFloat16 from(float value);
  float to_float() const;
};

enum class DType : u8 { kF32, kF64, kF16, kBF16, kI64, kI32, kU8, kBool };

size_t size_of(DType dtype);
const char* name_of(DType dtype);  // "f32", "bf16", ...
inline bool is_compute_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64;
}

namespace detail {
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::kF32;
  if constexpr (std::is_same_v<T, double>) return DType::kF64;
  if constexpr (std::is_same_v<T, Half>) return DType::kF16;
  if constexpr (std::is_same_v<T, BFloat16>) return DType::kBF16;
  if constexpr (std::is_same_v<T, i64>) return DType::kI64;
  if constexpr (std::is_same_v<T, i32>) return DType::kI32;
  if constexpr (std::is_same_v<T, u8>) return DType::kU8;
  if constexpr (std::is_same_v<T, bool>) return DType::kBool;
}
}  // namespace detail

template <class T>
inline constexpr DType kDTypeOf = detail::dtype_of<T>();

// dispatch_float(dtype, "conv2d", [&]<class T>() { ... }) runs the body with T = float or double.
template <class F>
decltype(auto) dispatch_float(DType dtype, std::string_view op, F&& body) {
  switch (dtype) {
    case DType::kF32:
      return body.template operator()<float>();
    case DType::kF64:
      return body.template operator()<double>();
    default:
      fail("{}: dtype {} is not supported, use f32 or f64", op, name_of(dtype));
  }
}

}  // namespace tessera
