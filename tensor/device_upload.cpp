#include "tensor/device_upload.h"

#include <cstring>

#include "tensor/allocator.h"
#include "tensor/device_runtime.h"
#include "tensor/error.h"

namespace tessera {

Tensor pinned(const Tensor& host, Device device) {
  if (!host.defined() || !device_runtime(device.kind).allocate_host) return host;
  const size_t bytes = host.bytes();
  const std::shared_ptr<void> block(allocate_host(bytes, device),
                                    [=](void* memory) { deallocate_host(memory, bytes, device); });
  if (bytes > 0) std::memcpy(block.get(), host.raw(), bytes);
  return Tensor::borrow(block.get(), host.shape(), host.dtype(), block);
}

bool DeviceUpload::travelling() const {
  return !joined_ && device_runtime(device_.kind).upload;
}

Tensor DeviceUpload::copy(const Tensor& host) {
  if (!travelling()) return host.to(device_);
  Tensor there = Tensor::empty(host.shape(), host.dtype(), device_);
  device_runtime(device_.kind).upload(there.raw(), host.raw(), host.bytes(), device_.index);
  sources_.push_back(host);
  sources_.push_back(there);
  return there;
}

void DeviceUpload::join() {
  if (travelling() && !sources_.empty()) device_runtime(device_.kind).join_upload(device_.index);
  joined_ = true;
}

DeviceUpload::~DeviceUpload() {
  try {
    join();
    if (!sources_.empty()) device_runtime(device_.kind).wait_for_upload(device_.index);
  } catch (const Error&) {  // what comes next on the device says the same
  }
}

}  // namespace tessera
