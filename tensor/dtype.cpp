#include "tensor/dtype.h"

#include <array>

namespace tessera {

namespace {

constexpr std::array kNames = {"f32", "f64", "f16", "bf16", "i64", "i32", "u8", "bool"};  // in the enum's order
static_assert(kNames.size() == static_cast<size_t>(DType::kBool) + 1);

}  // namespace

size_t size_of(DType dtype) {
  return dispatch_any(dtype, []<class T>() { return sizeof(T); });
}

const char* name_of(DType dtype) {
  return kNames.at(static_cast<size_t>(dtype));
}

}  // namespace tessera
