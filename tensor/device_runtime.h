// What a device must be able to do before a tensor can lie on it: one table of functions per kind of device, which the
// device's own file registers. Kernels come on top of that, operator by operator (ops/kernel_table.h).
#pragma once

#include <string>
#include <vector>

#include "tensor/device.h"

namespace tessera {

// The machine's devices of one kind.
struct DeviceCount {
  int count = 0;
  std::string reason;  // why there is none
};

// How many bytes lie where; a DeviceKind never copies to a kind other than itself and the CPU.
enum class CopyDirection { kFromHost, kToHost, kWithin };

struct DeviceRuntime {
  const char* name = nullptr;  // of a device that is no part of this repository: what --device finds it by
  DeviceCount (*count)();

  // Memory of device `index`. allocate returns null where there is none left.
  void* (*allocate)(size_t bytes, int index);
  void (*deallocate)(void* block, int index);
  size_t (*free_bytes)(int index);

  // All of these take their turn after the kernels that were launched before. When copy returns, `from` may be changed
  // or freed, and with kToHost the bytes have arrived.
  void (*copy)(void* to, const void* from, size_t bytes, CopyDirection direction, int index);
  void (*fill)(void* data, const void* value, size_t value_bytes, i64 count, int index);
  void (*convert)(void* to, DType to_dtype, const void* from, DType from_dtype, i64 count, int index);
  void (*synchronize)(int index);

  // Around every operator: makes the device the current one of this thread, names the work for a profiler.
  void (*begin)(const char* op, int index);
  void (*end)();

  // Graphs (tensor/device_graph.h); null where the device has none. What is asked of the device between begin_capture
  // and end_capture does not happen but is kept, in order, with its arguments' values. What cannot be kept throws:
  // copies from and to the host, waiting, getting or giving back memory. end_capture ends it in any case, and throws
  // where nothing came of it. launch_graph takes its turn like a kernel; destroy_graph may come while the graph runs.
  void (*begin_capture)(int index) = nullptr;
  void* (*end_capture)(int index) = nullptr;
  void (*launch_graph)(void* graph, int index) = nullptr;
  void (*destroy_graph)(void* graph, int index) = nullptr;

  // Branches (tensor/device_branch.h); null where the device has none. What this thread asks for between begin_branch
  // and end_branch begins after all that was asked for before, and runs beside what is asked for after it, which from
  // join_branch on waits for it.
  void (*begin_branch)(int index) = nullptr;
  void (*end_branch)() = nullptr;
  void (*join_branch)(int index) = nullptr;

  // Uploads (tensor/device_upload.h); null where copies have no queue of their own. A copy that is asked for with
  // upload begins after all that was asked for before, and what is asked for from join_upload on waits for it. `from`
  // may be changed or freed when wait_for_upload has returned; host memory that the device reads by itself comes from
  // allocate_host, null where there is none left.
  void (*upload)(void* to, const void* from, size_t bytes, int index) = nullptr;
  void (*join_upload)(int index) = nullptr;
  void (*wait_for_upload)(int index) = nullptr;
  void* (*allocate_host)(size_t bytes, int index) = nullptr;
  void (*deallocate_host)(void* block, int index) = nullptr;
};

bool register_device(DeviceKind kind, const DeviceRuntime& runtime);

// Throws when this build has none of that kind.
const DeviceRuntime& device_runtime(DeviceKind kind);

// Throws when the build has no such kind, the machine no such device, or not so many of them.
void check_device_present(Device device);

// Every device of this machine that this build can use, the CPU first.
std::vector<Device> present_devices();

// Throws for a device without graphs and names those that have them.
void check_can_capture(Device device);

// One operator's time on a device; nothing for the CPU.
class DeviceScope {
 public:
  DeviceScope(const char* op, Device device) {
    if (device.kind == DeviceKind::kCpu) return;
    runtime_ = &device_runtime(device.kind);
    runtime_->begin(op, device.index);
  }
  ~DeviceScope() {
    if (runtime_) runtime_->end();
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  const DeviceRuntime* runtime_ = nullptr;
};

// Waits until all work of the device is done.
void synchronize(Device device);

}  // namespace tessera
