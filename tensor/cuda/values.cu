// A value for every element, and one type of numbers into another: what a device does without an operator.
#include <cstdint>
#include <cstring>

#include "tensor/cuda/launch.h"
#include "tensor/cuda/values.h"

namespace tessera::cuda {

namespace {

template <class T>
__global__ void fill_kernel(i64 n, T value, T* data) {
  read_then_write(
      n, [&](i64) { return value; }, [&](i64 i, T pattern) { data[i] = pattern; });
}

template <class T>
void fill_as(void* data, const void* value, i64 count) {
  T pattern;
  std::memcpy(&pattern, value, sizeof(T));
  launch<fill_kernel<T>>(over_batches(count), count, pattern, static_cast<T*>(data));
}

struct alignas(16) Sixteen {
  std::byte bytes[16];
};

template <class To, class From>
__global__ void convert_kernel(i64 n, const From* from, To* to) {
  read_then_write(
      n, [&](i64 i) { return from[i]; }, [&](i64 i, From value) { to[i] = tessera::convert<To>(value); });
}

}  // namespace

void fill_values(void* data, const void* value, size_t value_bytes, i64 count, int index) {
  make_current(index);
  const i64 bytes = count * static_cast<i64>(value_bytes), width = sizeof(Sixteen);
  if (reinterpret_cast<std::uintptr_t>(data) % sizeof(Sixteen) == 0 && bytes % width == 0) {
    Sixteen pattern;
    for (size_t at = 0; at < sizeof(Sixteen); at += value_bytes) std::memcpy(pattern.bytes + at, value, value_bytes);
    return fill_as<Sixteen>(data, &pattern, bytes / width);
  }
  if (value_bytes == 1) return fill_as<u8>(data, value, count);
  if (value_bytes == 2) return fill_as<u16>(data, value, count);
  if (value_bytes == 4) return fill_as<u32>(data, value, count);
  fill_as<u64>(data, value, count);
}

void convert_values(void* to, DType to_dtype, const void* from, DType from_dtype, i64 count, int index) {
  make_current(index);
  dispatch_any(from_dtype, [&]<class From>() {
    dispatch_any(to_dtype, [&]<class To>() {
      launch<convert_kernel<To, From>>(over_batches(count), count, static_cast<const From*>(from),
                                       static_cast<To*>(to));
    });
  });
}

}  // namespace tessera::cuda
