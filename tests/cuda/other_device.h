// The device that a test compares with the CPU, and how near it must come.
//
// - The same bits: what only moves, converts, counts or compares numbers, and all that one device does twice, whether
//   it is run again, recorded or resumed.
// - One operator: the op cases' tolerances (tests/ops/op_check.cpp), against f64.
// - A whole network: kNearCpu. On a GPU cuBLASLt and cuDNN compute products and convolutions, whose sums have another
//   order than the CPU's, or Winograd's. The emulated device turns the last bit of theirs; with each result moved by up
//   to 4e-6 of the root mean square of all, which is several times the rounding of a sum of a thousand terms, these
//   tests pass as well. Updates are SGD's there: AdamW divides a gradient by its own size, so that one which is nothing
//   but rounding moves its weight as far as any other.
#pragma once

#include <doctest/doctest.h>

#include <optional>

#include "tensor/device_runtime.h"

namespace tessera::test {

inline constexpr double kNearCpu = 1e-3;  // relative, and absolute near 0

// The first device beside the CPU: the emulated one, or a GPU. A CUDA build on a machine without a GPU has none: then
// there is nothing to compare.
inline std::optional<Device> other_device() {
  for (const Device device : present_devices())
    if (device.kind != DeviceKind::kCpu) return device;
  MESSAGE("no device beside the CPU: skipped");
  return std::nullopt;
}

}  // namespace tessera::test
