#include "tensor/device_runtime.h"

#include <fmt/ranges.h>

#include <array>
#include <atomic>

#include "tensor/device_counts.h"

namespace tessera {

namespace {

using Table = std::array<const DeviceRuntime*, kDeviceKinds>;

Table& runtimes() {
  static constinit Table table{};
  return table;
}

}  // namespace

const char* name_of(DeviceKind kind) {
  constexpr std::array<const char*, kDeviceKinds> kNames = {"cpu", "cuda", "cuda-emulated", "other"};
  const DeviceRuntime* runtime = runtimes().at(static_cast<size_t>(kind));
  return runtime && runtime->name ? runtime->name : kNames[static_cast<size_t>(kind)];
}

bool register_device(DeviceKind kind, const DeviceRuntime& runtime) {
  const DeviceRuntime*& entry = runtimes()[static_cast<size_t>(kind)];
  TESSERA_CHECK(!entry, "device {} is registered twice", name_of(kind));
  entry = &runtime;
  return true;
}

const DeviceRuntime& device_runtime(DeviceKind kind) {
  const DeviceRuntime* runtime = runtimes()[static_cast<size_t>(kind)];
  if (runtime) return *runtime;
  if (kind == DeviceKind::kCuda)
    fail("device cuda: this build has no CUDA; configure it with -DTESSERA_CUDA=ON (`./run build cuda`)");
  if (kind == DeviceKind::kCudaEmulated)
    fail("device cuda-emulated: not in this program; tessera_emulated, beside it in the build folder, has it");
  fail("device {}: not in this build", name_of(kind));
}

void check_device_present(Device device) {
  const DeviceCount present = device_runtime(device.kind).count();
  TESSERA_CHECK(present.count > 0, "device {}: {}", device, present.reason);
  TESSERA_CHECK(device.index < present.count, "device {}: there {} only {} {} device{} here, numbered from 0", device,
                present.count == 1 ? "is" : "are", present.count, name_of(device.kind), present.count == 1 ? "" : "s");
}

std::vector<Device> present_devices() {
  std::vector<Device> devices;
  for (int kind = 0; kind < kDeviceKinds; ++kind) {
    const DeviceRuntime* runtime = runtimes()[static_cast<size_t>(kind)];
    const int count = runtime ? runtime->count().count : 0;
    for (int index = 0; index < count; ++index) devices.push_back({static_cast<DeviceKind>(kind), index});
  }
  return devices;
}

void check_can_capture(Device device) {
  if (device_runtime(device.kind).begin_capture) return;
  std::vector<std::string> able;
  for (const Device other : present_devices())
    if (device_runtime(other.kind).begin_capture) able.push_back(other.str());
  fail("device {} cannot record graphs; {}", device,
       able.empty() ? "none that is present here can" : fmt::format("those here that can: {}", fmt::join(able, ", ")));
}

namespace {
std::atomic<i64> launches = 0, waits = 0;
}
DeviceCounts device_counts() {
  return {launches, waits};
}
void count_device_launch() {
  ++launches;
}
void count_device_wait() {
  ++waits;
}

void synchronize(Device device) {
  count_device_wait();
  device_runtime(device.kind).synchronize(device.index);
}

}  // namespace tessera
