// Softmax in CUDA, formulas in ops/softmax.h. x is [outer, count, inner]; a slice is one (o, i).
//
// Along the last dimension (inner = 1) one warp has a slice: neighbouring lanes read neighbouring elements, and the
// three passes (maximum, sum, result) find a slice of usual length in the cache. Otherwise one thread has a slice:
// neighbouring threads have neighbouring i and read neighbouring elements. Sums are f32, by lane and then over the
// warp.
#include "ops/cuda/block_reduce.h"
#include "ops/softmax.h"

namespace tessera {

namespace {

using namespace cuda;
using namespace scalar;

constexpr int kThreads = 128;

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

// The slice of this thread: its number, or one past the last. All lanes of a warp must stay for the warp's sums.
template <class Lanes>
__device__ i64 slice_of_thread() {
  return (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) / Lanes::kLanes;
}

template <class Lanes, class F>
__global__ void softmax_kernel(ops::ReduceDims dims, const float* x, float* y) {
  const i64 slice = slice_of_thread<Lanes>();
  if (slice >= dims.outer * dims.inner) return;  // whole warps where a warp has a slice
  const i64 start = slice / dims.inner * dims.count * dims.inner + slice % dims.inner;
  const float* in = x + start;
  float* out = y + start;
  float largest = -INFINITY;
  for (i64 c = Lanes::first(); c < dims.count; c += Lanes::kLanes) largest = MaxOf::of(in[c * dims.inner], largest);
  largest = Lanes::max(largest);
  float sum = 0;
  for (i64 c = Lanes::first(); c < dims.count; c += Lanes::kLanes) sum += std::exp(in[c * dims.inner] - largest);
  sum = Lanes::sum(sum);
  const float log_sum = std::log(sum);
  for (i64 c = Lanes::first(); c < dims.count; c += Lanes::kLanes) {
    const float shifted = in[c * dims.inner] - largest;
    out[c * dims.inner] = F::kLog ? shifted - log_sum : std::exp(shifted) / sum;
  }
}

template <class Lanes, class F>
__global__ void softmax_backward_kernel(ops::ReduceDims dims, const float* gy, const float* y, float* gx) {
  const i64 slice = slice_of_thread<Lanes>();
  if (slice >= dims.outer * dims.inner) return;
  const i64 start = slice / dims.inner * dims.count * dims.inner + slice % dims.inner;
  float sum = 0;
  for (i64 c = Lanes::first(); c < dims.count; c += Lanes::kLanes) {
    const i64 at = start + c * dims.inner;
    sum += F::kLog ? gy[at] : gy[at] * y[at];
  }
  sum = Lanes::sum(sum);
  for (i64 c = Lanes::first(); c < dims.count; c += Lanes::kLanes) {
    const i64 at = start + c * dims.inner;
    gx[at] = F::kLog ? gy[at] - std::exp(y[at]) * sum : y[at] * (gy[at] - sum);
  }
}

template <class Lanes>
Launch slices(const ops::ReduceDims& dims) {
  return {.grid = static_cast<unsigned>(ceil_div(dims.outer * dims.inner * Lanes::kLanes, kThreads)),
          .block = kThreads};
}

template <class F>
void softmax_cuda(const ops::ReduceDims& dims, const Tensor& x, Tensor& y) {
  const float* in = x.device_data<float>();
  float* out = y.device_data<float>();
  if (dims.inner == 1) return launch<softmax_kernel<ByWarp, F>>(slices<ByWarp>(dims), dims, in, out);
  launch<softmax_kernel<ByThread, F>>(slices<ByThread>(dims), dims, in, out);
}

template <class F>
void softmax_backward_cuda(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& y, Tensor& gx) {
  const float *g = gy.device_data<float>(), *out = y.device_data<float>();
  float* result = gx.device_data<float>();
  if (dims.inner == 1) return launch<softmax_backward_kernel<ByWarp, F>>(slices<ByWarp>(dims), dims, g, out, result);
  launch<softmax_backward_kernel<ByThread, F>>(slices<ByThread>(dims), dims, g, out, result);
}

[[maybe_unused]] const bool kAdded = Operators<Softmax, LogSoftmax>::each([]<class F>(F) {
  ops::softmax_kernels<F>.add(kDevice, softmax_cuda<F>);
  ops::softmax_backward_kernels<F>.add(kDevice, softmax_backward_cuda<F>);
});

}  // namespace

}  // namespace tessera
