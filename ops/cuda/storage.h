// The element types that CUDA kernels read and write: f32, and bf16 where training in mixed precision comes by. What
// they compute is f32 in both.
//
//   template <class T>
//   __global__ void relu_kernel(i64 n, const T* x, T* y) {
//     for (const i64 i : indices(n)) store(y + i, relu_of(load(x + i)));
//   }
//   dispatch_storage(x, [&]<class T>() {
//     launch<relu_kernel<T>>(over(n), n, x.device_data<T>(), y.device_data<T>());
//   });
#pragma once

#ifndef TESSERA_CUDA_EMULATED
#include <cuda_bf16.h>
#endif

#include "tensor/allocator.h"
#include "tensor/cuda/launch.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

template <class T>
__device__ float load(const T* at) {
  return convert<float>(*at);
}
// Two values in bf16, the first in the low half: one instruction for both.
__device__ inline u32 bf16_pair(float low, float high) {
#ifdef TESSERA_CUDA_EMULATED
  return BFloat16::from(low).bits | u32{BFloat16::from(high).bits} << 16;
#else
  const __nv_bfloat162_raw pair = __floats2bfloat162_rn(low, high);
  return pair.x | u32{pair.y} << 16;
#endif
}
template <class T>
__device__ void store(T* at, float value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    at->bits = static_cast<u16>(bf16_pair(value, 0));
  } else {
    *at = convert<T>(value);
  }
}

// f.operator()<T>() for the element type of x.
template <class F>
void dispatch_storage(const Tensor& x, const F& f) {
  switch (x.dtype()) {
    case DType::kF32:
      return f.template operator()<float>();
    case DType::kBF16:
      return f.template operator()<BFloat16>();
    default:
      fail("{}: dtype {} is not supported on {}, use f32 or bf16", OpScope::current(), name_of(x.dtype()), x.device());
  }
}

// Where a gradient that several launches add up is summed: in f32, which is the gradient itself or lies beside it.
inline Tensor f32_sums(const Tensor& gradient) {
  return gradient.dtype() == DType::kF32 ? gradient : Tensor::zeros(gradient.shape(), DType::kF32, gradient.device());
}
inline void store_sums(const Tensor& sums, Tensor& gradient) {
  if (!sums.same_memory(gradient)) gradient.copy_from(sums.to(gradient.dtype()));
}

// The vector's data on the device, null where it is absent.
template <class T = float>
const T* data_or_null(const Tensor& vector) {
  return vector.defined() ? vector.device_data<T>() : nullptr;
}

}  // namespace tessera::cuda
