// The device that a test compares with the CPU.
#pragma once

#include <doctest/doctest.h>

#include <optional>

#include "tensor/device_runtime.h"

namespace tessera::test {

// The first device beside the CPU: the emulated one, or a GPU. A CUDA build on a machine without a GPU has none: then
// there is nothing to compare.
inline std::optional<Device> other_device() {
  for (const Device device : present_devices())
    if (device.kind != DeviceKind::kCpu) return device;
  MESSAGE("no device beside the CPU: skipped");
  return std::nullopt;
}

}  // namespace tessera::test
