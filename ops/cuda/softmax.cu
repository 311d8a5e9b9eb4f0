// Softmax in CUDA, formulas in ops/softmax.h. x is [outer, count, inner]; a slice is one (o, i).
//
// Along the last dimension (inner = 1) one warp has a slice: neighbouring lanes read neighbouring elements, and the
// three passes (maximum, sum, result) find a slice of usual length in the cache. Otherwise one thread has a slice:
// neighbouring threads have neighbouring i and read neighbouring elements. Sums are f32, by lane and then over the
// warp.
#include "ops/cuda/block_reduce.h"
#include "ops/cuda/divider.h"
#include "ops/softmax.h"

namespace tessera {

namespace {

using namespace cuda;
using namespace scalar;

constexpr int kThreads = 128, kReads = 4;

// Who computes a slice: a whole warp, or one thread.
struct ByWarp {
  static constexpr int kLanes = kWarp;
  __device__ static int first() { return lane(); }
  template <class T>
  __device__ static T sum(T value) {
    return warp_sum(value);
  }
  template <class T>
  __device__ static T max(T value) {
    return warp_max(value);
  }
};
struct ByThread {
  static constexpr int kLanes = 1;
  __device__ static int first() { return 0; }
  template <class T>
  __device__ static T sum(T value) {
    return value;
  }
  template <class T>
  __device__ static T max(T value) {
    return value;
  }
};

// The slices, of which each is `count` elements, `inner` apart.
struct Slices {
  explicit Slices(const ops::ReduceDims& dims)
      : number(dims.outer * dims.inner), count(dims.count), inner(dims.inner), by_inner(dims.inner) {
    TESSERA_CHECK(number <= std::numeric_limits<i32>::max(), "{}: {} slices are too many for one kernel",
                  OpScope::current(), number);
  }
  // The slice of this thread, one past the last where it has none. All lanes of a warp must stay for the warp's sums.
  template <class Lanes>
  __device__ i64 of_thread() const {
    return (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) / Lanes::kLanes;
  }
  __device__ i64 start(i64 slice) const {
    const u32 s = static_cast<u32>(slice);
    return s / by_inner * (count * inner) + s % by_inner;
  }
  i64 number, count, inner;
  Divider by_inner;
};

template <class Lanes, class F>
__global__ void softmax_kernel(Slices dims, const float* __restrict__ x, float* __restrict__ y) {
  const i64 slice = dims.of_thread<Lanes>();
  if (slice >= dims.number) return;  // whole warps where a warp has a slice
  const i64 start = dims.start(slice);
  const float* in = x + start;
  float* out = y + start;
  const auto each = [&](const auto& use) {
    read_ahead<kReads>(
        Lanes::first(), dims.count, Lanes::kLanes, [&](i64 c) { return in[c * dims.inner]; }, use);
  };
  float largest = -INFINITY, sum = 0;
  each([&](i64, float value) { largest = MaxOf::of(value, largest); });
  largest = Lanes::max(largest);
  each([&](i64, float value) { sum += std::exp(value - largest); });
  sum = Lanes::sum(sum);
  const float log_sum = std::log(sum);
  each([&](i64 c, float value) {
    all_are_read();
    const float shifted = value - largest;
    out[c * dims.inner] = F::kLog ? shifted - log_sum : std::exp(shifted) / sum;
  });
}

template <class Lanes, class F>
__global__ void softmax_backward_kernel(Slices dims, const float* __restrict__ gy, const float* __restrict__ y,
                                        float* __restrict__ gx) {
  const i64 slice = dims.of_thread<Lanes>();
  if (slice >= dims.number) return;
  const i64 start = dims.start(slice);
  struct Pair {
    float gy, y;
  };
  const auto each = [&](const auto& use) {
    const auto read = [&](i64 c) {
      const i64 at = start + c * dims.inner;
      return Pair{gy[at], y[at]};
    };
    read_ahead<kReads>(Lanes::first(), dims.count, Lanes::kLanes, read, use);
  };
  float sum = 0;
  each([&](i64, const Pair& pair) { sum += F::kLog ? pair.gy : pair.gy * pair.y; });
  sum = Lanes::sum(sum);
  each([&](i64 c, const Pair& pair) {
    gx[start + c * dims.inner] = F::kLog ? pair.gy - std::exp(pair.y) * sum : pair.y * (pair.gy - sum);
  });
}

template <class Lanes>
Launch over_slices(const Slices& dims) {
  return {.grid = static_cast<unsigned>(ceil_div(dims.number * Lanes::kLanes, kThreads)), .block = kThreads};
}

template <class F>
void softmax_cuda(const ops::ReduceDims& dims, const Tensor& x, Tensor& y) {
  const float* in = x.device_data<float>();
  float* out = y.device_data<float>();
  const Slices slices(dims);
  if (dims.inner == 1) return launch<softmax_kernel<ByWarp, F>>(over_slices<ByWarp>(slices), slices, in, out);
  launch<softmax_kernel<ByThread, F>>(over_slices<ByThread>(slices), slices, in, out);
}

template <class F>
void softmax_backward_cuda(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& y, Tensor& gx) {
  const float *g = gy.device_data<float>(), *out = y.device_data<float>();
  float* result = gx.device_data<float>();
  const Slices slices(dims);
  if (dims.inner == 1)
    return launch<softmax_backward_kernel<ByWarp, F>>(over_slices<ByWarp>(slices), slices, g, out, result);
  launch<softmax_backward_kernel<ByThread, F>>(over_slices<ByThread>(slices), slices, g, out, result);
}

[[maybe_unused]] const bool kAdded = Operators<Softmax, LogSoftmax>::each([]<class F>(F) {
  ops::softmax_kernels<F>.add(kDevice, softmax_cuda<F>);
  ops::softmax_backward_kernels<F>.add(kDevice, softmax_backward_cuda<F>);
});

}  // namespace

}  // namespace tessera
