// How often the host waited for a device: tests hold a training step to one wait.
#pragma once

#include "tensor/dtype.h"

namespace tessera {

// Copies from a device to the host and calls of synchronize(), since the process began.
i64 device_waits();
void count_device_wait();

}  // namespace tessera
