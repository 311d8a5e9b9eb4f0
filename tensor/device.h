// Where a tensor's memory lies and which kernels work on it. A port adds one kind here, what its memory can do
// (tensor/device_runtime.h) and a folder ops/<hardware>/; docs/porting.md goes through it step by step.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace tessera {

enum class DeviceKind : u8 {
  kCpu,
  kCuda,
  kCudaEmulated,  // the CUDA kernels as C++ on the processor (docs/emulated.md)
  kOther,         // a device that is no part of this repository
};
inline constexpr int kDeviceKinds = 4;

const char* name_of(DeviceKind kind);

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;

  // "cpu", "cuda", "cuda:1", "cuda-emulated". Throws for an unknown name, and for a device that this build or this
  // machine does not have, with the reason.
  static Device parse(std::string_view name);
  std::string str() const;  // the index is left out where it is 0
  bool operator==(const Device&) const = default;
};

}  // namespace tessera

template <>
struct fmt::formatter<tessera::Device> : fmt::formatter<std::string> {
  auto format(const tessera::Device& device, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(device.str(), context);
  }
};
