// How losses are summed and averaged in CUDA, and how the gradient of the result comes back to each. A single loss is
// computed in f32 where it is needed, never stored to be summed: the sums go through ops/cuda/reduce.h, which has their
// mapping to threads and adds in double.
#pragma once

#include "ops/cuda/reduce.h"
#include "ops/losses.h"

namespace tessera::cuda {

using ops::Reduction;

struct StoreReduced {
  double divisor;
  float* y;
  __device__ void operator()(i64, double sum) const { *y = static_cast<float>(sum / divisor); }
};
inline double divisor_of(i64 count, Reduction reduction) {
  return reduction == Reduction::kMean ? static_cast<double>(std::max<i64>(count, 1)) : 1;
}

// y = the reduced value of `count` losses, which load has.
template <class Load>
void reduce_losses(i64 count, Reduction reduction, const Load& load, Tensor& y) {
  reduce<DoubleSum>({1, count, 1}, y.device(), load,
                    StoreReduced{divisor_of(count, reduction), y.device_data<float>()});
}

// The gradient of each loss.
struct Incoming {
  Incoming(const Tensor& gy, i64 count, Reduction reduction)
      : values(gy.device_data<float>()),
        step(reduction == Reduction::kNone ? 1 : 0),
        divisor(static_cast<float>(divisor_of(count, reduction))) {}
  __device__ float of(i64 i) const { return values[i * step] / divisor; }
  const float* values;
  i64 step;
  float divisor;
};

}  // namespace tessera::cuda
