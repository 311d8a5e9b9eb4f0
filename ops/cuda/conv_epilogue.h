// What follows a convolution's sum in the handwritten kernels: y = act(sum + bias + residual).
#pragma once

#include "ops/conv2d.h"
#include "ops/cuda/channels.h"

namespace tessera::cuda {

template <class T>
struct ConvEpilogue {
  const T *bias, *residual;  // [Co] and y's shape, or null
  ops::Activation activation;

  // The element `at` of y, of channel c. NaN passes.
  __device__ float operator()(float sum, i64 at, i64 c) const {
    if (bias) sum += load(bias + c);
    if (residual) sum += load(residual + at);
    return bounds()(sum);
  }

  // The same for neighbouring channels: what their sums begin with, and what follows.
  template <int kWidth>
  __device__ Channels<kWidth> begin(i64 c) const {
    return bias ? Channels<kWidth>::load(bias + c) : Channels<kWidth>::zero();
  }
  template <int kWidth>
  __device__ Channels<kWidth> finish(Channels<kWidth> sum, i64 at) const {
    if (residual) sum.add(1, Channels<kWidth>::load(residual + at));
    const Bounds activated = bounds();
    for (float& value : sum.value) value = activated(value);
    return sum;
  }

 private:
  struct Bounds {
    float low, high;
    __device__ float operator()(float value) const {  // two selections, no branch
      const float raised = value < low ? low : value;
      return raised > high ? high : raised;
    }
  };
  __device__ Bounds bounds() const {
    return {activation == ops::Activation::kNone ? -INFINITY : 0.0f,
            activation == ops::Activation::kRelu6 ? 6.0f : INFINITY};
  }
};

}  // namespace tessera::cuda
