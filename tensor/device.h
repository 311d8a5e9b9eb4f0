// Where a tensor's memory lies and which kernels work on it. A port adds one kind here and a folder ops/<hardware>/.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace tessera {

enum class DeviceKind : u8 { kCpu };
inline constexpr int kDeviceKinds = 1;

const char* name_of(DeviceKind kind);

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;

  // "cpu". Throws for an unknown name, listing the known ones.
  static Device parse(std::string_view name);
  std::string str() const;
  bool operator==(const Device&) const = default;
};

}  // namespace tessera

template <>
struct fmt::formatter<tessera::Device> : fmt::formatter<std::string> {
  auto format(const tessera::Device& device, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(device.str(), context);
  }
};
