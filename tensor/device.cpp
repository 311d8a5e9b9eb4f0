#include "tensor/device.h"

namespace tessera {

const char* name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return "cpu";
  }
  return "unknown";
}

Device Device::parse(std::string_view name) {
  if (name == "cpu") return {};
  fail("device {}: unknown; this build has: cpu", name);
}

std::string Device::str() const {
  return name_of(kind);
}

}  // namespace tessera
