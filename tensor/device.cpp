#include "tensor/device.h"

#include <charconv>

#include "tensor/device_runtime.h"

namespace tessera {

const char* name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kCuda:
      return "cuda";
    case DeviceKind::kCudaEmulated:
      return "cuda-emulated";
    case DeviceKind::kOther:
      return "other";
  }
  return "unknown";
}

Device Device::parse(std::string_view name) {
  const size_t colon = name.find(':');
  const std::string_view kind_name = name.substr(0, colon), number = colon == name.npos ? "0" : name.substr(colon + 1);
  Device device;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), device.index);
  const bool numbered = error == std::errc() && end == number.data() + number.size() && device.index >= 0;
  for (int kind = 0; kind < kDeviceKinds && numbered; ++kind) {
    device.kind = static_cast<DeviceKind>(kind);
    if (kind_name != name_of(device.kind)) continue;
    check_device_present(device);
    return device;
  }
  std::string known;
  for (const Device present : present_devices()) known += (known.empty() ? "" : ", ") + present.str();
  fail("device {}: unknown; present here: {}", name, known);
}

std::string Device::str() const {
  return index == 0 ? name_of(kind) : fmt::format("{}:{}", name_of(kind), index);
}

}  // namespace tessera
