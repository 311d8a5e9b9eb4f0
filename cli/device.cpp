#include "cli/device.h"

#include <fmt/core.h>

#include "ops/cpu/simd/simd_table.h"

namespace tessera {

void add_device(CLI::App& command, std::string& name) {
  command.add_option("--device", name, "where to compute: cpu, or cuda (a build with it; cuda:1 is the second GPU)")
      ->type_name("DEVICE")
      ->default_str("cpu");
}

Device chosen_device(const std::string& name, Precision asked) {
  const Device device = Device::parse(name);
  if (asked != Precision::kHighest && device.kind == DeviceKind::kCpu && !has_tiles())
    fmt::print(stderr, "tessera: no bfloat16 tiles (AMX) on this machine: precision is highest\n");
  return device;
}

}  // namespace tessera
