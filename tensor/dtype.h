// Element types. The CPU computes in f32 and f64; f16 and bf16 are storage only; indices are i64 or i32, masks u8.
#pragma once

#include <bit>
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
// constexpr: kernels on other devices call them, too.
struct Half {
  u16 bits;
  static constexpr Half from(float value) {
    const u32 pattern = std::bit_cast<u32>(value);
    const u32 sign = (pattern >> 16) & 0x8000;
    const u32 magnitude = pattern & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return {static_cast<u16>(sign | 0x7E00)};   // NaN
    if (magnitude >= 0x477FF000) return {static_cast<u16>(sign | 0x7C00)};  // rounds to 65536 or more: infinity
    if (magnitude < 0x38800000) {  // subnormal half: let the FPU round at the right place by adding 0.5 (ulp 2^-24)
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      return {static_cast<u16>(sign | (std::bit_cast<u32>(shifted) - std::bit_cast<u32>(0.5f)))};
    }
    const u32 rounded = magnitude + 0xFFF + ((magnitude >> 13) & 1);
    return {static_cast<u16>(sign | ((rounded - 0x38000000) >> 13))};
  }
  constexpr float to_float() const {
    const u32 sign = static_cast<u32>(bits & 0x8000) << 16;
    const u32 exponent = (bits >> 10) & 0x1F, mantissa = bits & 0x3FF;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | (mantissa << 13));
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return sign ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }
};
struct BFloat16 {
  u16 bits;
  static constexpr BFloat16 from(float value) {
    const u32 pattern = std::bit_cast<u32>(value);
    if (value != value) return {static_cast<u16>((pattern >> 16) | 0x40)};  // quiet NaN, never rounded into infinity
    return {static_cast<u16>((pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16)};
  }
  constexpr float to_float() const { return std::bit_cast<float>(static_cast<u32>(bits) << 16); }
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

// A value of one element type as another: what Tensor::to(DType) does to each element.
template <class To, class From>
constexpr To convert(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return convert<To>(value.to_float());
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return To::from(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

// Runs body<T>() with the C++ type of any dtype.
template <class F>
decltype(auto) dispatch_any(DType dtype, F&& body) {
  switch (dtype) {
    case DType::kF32:
      return body.template operator()<float>();
    case DType::kF64:
      return body.template operator()<double>();
    case DType::kF16:
      return body.template operator()<Half>();
    case DType::kBF16:
      return body.template operator()<BFloat16>();
    case DType::kI64:
      return body.template operator()<i64>();
    case DType::kI32:
      return body.template operator()<i32>();
    case DType::kU8:
      return body.template operator()<u8>();
    case DType::kBool:
      return body.template operator()<bool>();
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

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
