// DeviceRuntime's fill and convert (tensor/device_runtime.h).
#pragma once

#include "tensor/cuda/runtime.h"
#include "tensor/dtype.h"

namespace tessera::cuda {

void fill_values(void* data, const void* value, size_t value_bytes, i64 count, int index);
void convert_values(void* to, DType to_dtype, const void* from, DType from_dtype, i64 count, int index);

}  // namespace tessera::cuda
