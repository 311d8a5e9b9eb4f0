// Copies from the host that travel to a device while it computes.
//
//   DeviceUpload upload(device);                // before the work is launched that they are to travel beside
//   const Tensor next = upload.copy(pinned(host, device));
//   ...                                         // launches work that does not read `next`
//   upload.join();
//   use(next);
//
// On a GPU they have a queue of their own. A copy begins when all is done that was launched before it: until then that
// work may use the memory that the copy gets. What is launched after join() waits for all. On other devices copy() is
// an ordinary one, on the CPU none at all.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace tessera {

// A copy in memory from which the device fetches by itself, without the processor's help; the tensor itself where the
// device has none such. It is an ordinary tensor of the CPU.
Tensor pinned(const Tensor& host, Device device);

class DeviceUpload {
 public:
  explicit DeviceUpload(Device device) : device_(device) {}
  ~DeviceUpload();  // joins, and waits until the host's memory has been read
  DeviceUpload(const DeviceUpload&) = delete;
  DeviceUpload& operator=(const DeviceUpload&) = delete;

  Tensor copy(const Tensor& host);  // pinned, else the host may have to wait
  void join();

 private:
  bool travelling() const;  // whether the device has a queue for copies, and this upload is not joined

  Device device_;
  bool joined_ = false;
  std::vector<Tensor> sources_;  // kept until they have been read
};

}  // namespace tessera
