// What the host asked of devices since the process began: tests hold a training step to one wait and to a number of
// launches.
#pragma once

#include "tensor/dtype.h"

namespace tessera {

struct DeviceCounts {
  i64 launches = 0;  // kernels, the libraries' products and convolutions, recorded graphs
  i64 waits = 0;     // copies from a device to the host and calls of synchronize()
};

DeviceCounts device_counts();
void count_device_launch();
void count_device_wait();

}  // namespace tessera
