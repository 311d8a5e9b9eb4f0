#include "tensor/device.h"

#include <charconv>
#include <vector>

#include "tensor/device_runtime.h"
#include "tensor/nearest_name.h"

namespace tessera {

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
  std::vector<std::string> kinds;
  for (int kind = 0; kind < kDeviceKinds; ++kind)
    if (static_cast<DeviceKind>(kind) != DeviceKind::kOther) kinds.push_back(name_of(static_cast<DeviceKind>(kind)));
  std::string present;
  for (const Device known : present_devices()) present += (present.empty() ? "" : ", ") + known.str();
  fail("device {}: unknown; did you mean {}? Present here: {}", name, nearest_name(std::string(kind_name), kinds),
       present);
}

std::string Device::str() const {
  return index == 0 ? name_of(kind) : fmt::format("{}:{}", name_of(kind), index);
}

}  // namespace tessera
