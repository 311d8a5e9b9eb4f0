#include "tensor/dtype.h"

#include <bit>

namespace tessera {

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF64:
      return "f64";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kI64:
      return "i64";
    case DType::kI32:
      return "i32";
    case DType::kU8:
      return "u8";
    case DType::kBool:
      return "bool";
  }
  return "unknown";
}

BFloat16 BFloat16::from(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  if (value != value) return {static_cast<u16>((bits >> 16) | 0x40)};  // quiet NaN, never rounded into infinity
  return {static_cast<u16>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

float BFloat16::to_float() const {
  return std::bit_cast<float>(static_cast<u32>(bits) << 16);
}

Half Half::from(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  const u32 sign = (bits >> 16) & 0x8000;
  const u32 magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return {static_cast<u16>(sign | 0x7E00)};   // NaN
  if (magnitude >= 0x477FF000) return {static_cast<u16>(sign | 0x7C00)};  // rounds to 65536 or more: infinity
  if (magnitude < 0x38800000) {  // subnormal half: let the FPU round at the right place by adding 0.5 (ulp 2^-24)
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<u16>(sign | (std::bit_cast<u32>(shifted) - std::bit_cast<u32>(0.5f)))};
  }
  const u32 rounded = magnitude + 0xFFF + ((magnitude >> 13) & 1);
  return {static_cast<u16>(sign | ((rounded - 0x38000000) >> 13))};
}

float Half::to_float() const {
  const u32 sign = static_cast<u32>(bits & 0x8000) << 16;
  const u32 exponent = (bits >> 10) & 0x1F, mantissa = bits & 0x3FF;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace tessera
