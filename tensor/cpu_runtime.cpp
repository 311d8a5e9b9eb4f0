// The processor as a device: aligned memory, and loops for what a kernel does elsewhere.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "tensor/allocator.h"
#include "tensor/device_runtime.h"

namespace tessera {

namespace {

DeviceCount count() {
  return {1, ""};
}

void* allocate_memory(size_t bytes, int) {
  return std::aligned_alloc(kAlignment, bytes);
}

void deallocate_memory(void* block, int) {
  std::free(block);
}

// What the system calls available counts the file cache, which gives way to programs; the free pages do not.
size_t free_bytes(int) {
  std::ifstream file("/proc/meminfo");
  size_t kib = 0;
  for (std::string key; file >> key; file.ignore(64, '\n'))
    if (key == "MemAvailable:" && file >> kib) return kib * 1024;
  return static_cast<size_t>(std::max(0L, sysconf(_SC_AVPHYS_PAGES))) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void copy(void* to, const void* from, size_t bytes, CopyDirection, int) {
  std::memmove(to, from, bytes);
}

void fill(void* data, const void* value, size_t value_bytes, i64 count, int) {
  const auto fill_as = [&]<class T>() {
    T pattern;
    std::memcpy(&pattern, value, sizeof(T));
    std::fill_n(static_cast<T*>(data), count, pattern);
  };
  switch (value_bytes) {
    case 1:
      return fill_as.operator()<u8>();
    case 2:
      return fill_as.operator()<u16>();
    case 4:
      return fill_as.operator()<u32>();
    default:
      return fill_as.operator()<u64>();
  }
}

void convert_values(void* to, DType to_dtype, const void* from, DType from_dtype, i64 count, int) {
  dispatch_any(from_dtype, [&]<class From>() {
    dispatch_any(to_dtype, [&]<class To>() {
      const From* source = static_cast<const From*>(from);
      std::transform(source, source + count, static_cast<To*>(to), [](From value) { return convert<To>(value); });
    });
  });
}

constexpr DeviceRuntime kRuntime = {.count = count,
                                    .allocate = allocate_memory,
                                    .deallocate = deallocate_memory,
                                    .free_bytes = free_bytes,
                                    .copy = copy,
                                    .fill = fill,
                                    .convert = convert_values,
                                    .synchronize = [](int) {},
                                    .begin = [](const char*, int) {},
                                    .end = [] {}};

[[maybe_unused]] const bool kRegistered = register_device(DeviceKind::kCpu, kRuntime);

}  // namespace

}  // namespace tessera
