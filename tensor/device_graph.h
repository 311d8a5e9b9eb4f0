// A graph: the work that a function launches on a device, recorded once and launched again as one unit. A forward pass
// of many small kernels then costs the host one call.
//
//   Tensor x = ...;
//   DeviceGraph graph(device);
//   const Tensor y = graph.record([&] { return network(x); });
//   x.copy_from(next);
//   graph.launch();  // y is the network's result for `next`
//
// What is recorded is the device's work with the addresses and numbers of the recording: no code of the host runs a
// second time.
//   - Tensors that the function reads and that it did not make must live as long as the graph. A launch sees the values
//     that they have then; a tensor that takes their place is not seen.
//   - The memory of all that the function makes is the graph's. What it returns is undefined before the first launch,
//     changed by each further one, and stays as it is when the graph is destroyed.
//   - The function must do the same each time it is called, and all of it on the device: a copy from or to the host,
//     item(), or waiting for the device is an error.
//   - While it is recorded no other thread may use the device.
#pragma once

#include <optional>
#include <type_traits>

#include "tensor/allocator.h"
#include "tensor/device.h"

namespace tessera {

class DeviceGraph {
 public:
  explicit DeviceGraph(Device device);  // throws when the device has no graphs (check_can_capture)
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  // Runs the function as usual, which prepares all that is prepared only once (libraries' plans, memory), then records
  // it, when nothing is computed. Returns what the recorded call returned. When it throws, the graph is empty.
  template <class Work>
  auto record(const Work& work) -> std::invoke_result_t<Work> {
    reset();
    try {
      const MemoryPool::Scope memory(pool_.emplace(device_));
      work();  // its result is freed before the second call, which then gets the same blocks
      begin_capture();
      auto result = work();
      end_capture();
      return result;
    } catch (...) {
      abandon();
      throw;
    }
  }

  // Enqueues the recorded work.
  void launch();

 private:
  void begin_capture();
  void end_capture();
  void abandon();  // what is being recorded
  void reset();    // to a graph of nothing

  Device device_;
  std::optional<MemoryPool> pool_;
  bool capturing_ = false;
  void* graph_ = nullptr;  // the device's
};

}  // namespace tessera
