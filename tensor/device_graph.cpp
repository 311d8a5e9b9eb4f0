#include "tensor/device_graph.h"

#include <utility>

#include "tensor/device_runtime.h"
#include "tensor/error.h"

namespace tessera {

DeviceGraph::DeviceGraph(Device device) : device_(device) {
  check_can_capture(device);
}

DeviceGraph::~DeviceGraph() {
  reset();
}

void DeviceGraph::launch() {
  TESSERA_CHECK(graph_, "device graph: nothing was recorded");
  device_runtime(device_.kind).launch_graph(graph_, device_.index);
}

void DeviceGraph::begin_capture() {
  pool_->close();
  device_runtime(device_.kind).begin_capture(device_.index);
  capturing_ = true;
}

void DeviceGraph::end_capture() {
  capturing_ = false;
  graph_ = device_runtime(device_.kind).end_capture(device_.index);
}

void DeviceGraph::abandon() {
  try {
    if (capturing_) end_capture();
  } catch (const Error&) {  // the error that led here is the one to tell
  }
  reset();
}

void DeviceGraph::reset() {
  if (graph_) device_runtime(device_.kind).destroy_graph(std::exchange(graph_, nullptr), device_.index);
  pool_.reset();
}

}  // namespace tessera
