// Pointwise operators in CUDA, f32 and bf16: a thread has four neighbouring elements where their number and addresses
// allow it, else one, and in very large tensors several such, one grid apart. Memory limits all of them; neighbouring
// threads have neighbouring elements, so that a warp reads and writes whole lines.
#include "ops/cuda/channels.h"
#include "ops/pointwise.h"
#include "ops/scalar/libm.h"

namespace tessera {

namespace {

using namespace cuda;

using scalar::Libm;

// --- What is computed of an element of each argument.
template <class F>
struct Formula {
  __device__ float operator()(auto... x) const { return F::of(Libm(), x...); }
};
template <class F>
struct FormulaWithNumber {
  float number;
  __device__ float operator()(float x) const { return F::of(Libm(), x, number); }
};
struct ClampMinGradient {
  float lowest;
  __device__ float operator()(float gy, float x) const { return scalar::ClampMin::gradient(Libm(), gy, x, lowest); }
};

template <int kWidth, class F, class... X>
__device__ Channels<kWidth> each(const F& f, const X&... x) {
  Channels<kWidth> y;
  for (int j = 0; j < kWidth; ++j) y.value[j] = f(x.value[j]...);
  return y;
}

// n pieces of kWidth elements of arguments of one shape; y may be one of them.
template <class F, int kWidth, class T, class... X>
__global__ void pieces_kernel(i64 n, F f, T* y, const X*... x) {
  for (const i64 i : indices(n)) each<kWidth>(f, Channels<kWidth>::load(x + i * kWidth)...).store(y + i * kWidth);
}
template <class T, class>
using Same = T;
template <class F, class... Arguments>
void over_pieces(const F& f, Tensor& y, const Arguments&... x) {
  dispatch_storage(y, [&]<class T>() {
    T* to = y.device_data<T>();
    dispatch_width(by_four(y.numel(), to, x.template device_data<T>()...), [&]<int kWidth>() {
      const i64 n = y.numel() / kWidth;
      launch<pieces_kernel<F, kWidth, T, Same<T, Arguments>...>>(over(n), n, f, to, x.template device_data<T>()...);
    });
  });
}

// Where in a and b the element i of y comes from.
struct Sources {
  i64 a, b;
};
__device__ Sources sources(const ops::BroadcastDims& dims, i64 i) {
  Sources at{0, 0};
  for (int d = dims.rank - 1; d >= 0; --d) {
    const i64 index = i % dims.size[d];
    i /= dims.size[d];
    at.a += index * dims.step_a[d];
    at.b += index * dims.step_b[d];
  }
  return at;
}

template <class F, class T>
__global__ void broadcast_kernel(i64 n, ops::BroadcastDims dims, const T* a, const T* b, T* y) {
  for (const i64 i : indices(n)) {
    const Sources at = sources(dims, i);
    store(y + i, F::of(Libm(), load(a + at.a), load(b + at.b)));
  }
}

template <class T>
__global__ void broadcast_to_kernel(i64 n, ops::BroadcastDims dims, const T* x, T* y) {
  for (const i64 i : indices(n)) y[i] = x[sources(dims, i).a];
}

template <class T>
__global__ void greater_equal_kernel(i64 n, const T* x, float value, u8* y) {
  for (const i64 i : indices(n)) y[i] = load(x + i) >= value;
}

// --- The launches.
template <class F>
void unary_cuda(const Tensor& x, Tensor& y) {
  over_pieces(Formula<F>(), y, x);
}

template <class F>
void unary_scalar_cuda(const Tensor& x, double value, Tensor& y) {
  over_pieces(FormulaWithNumber<F>{static_cast<float>(value)}, y, x);
}

template <class F>
void unary_backward_cuda(const Tensor& gy, const Tensor& x_or_y, Tensor& gx) {
  over_pieces(Formula<scalar::GradientOf<F>>(), gx, gy, x_or_y);
}

template <class F>
void binary_cuda(const ops::BroadcastDims& dims, const Tensor& a, const Tensor& b, Tensor& y) {
  if (a.shape() == b.shape()) return over_pieces(Formula<F>(), y, a, b);
  dispatch_storage(y, [&]<class T>() {
    launch<broadcast_kernel<F, T>>(over(y.numel()), y.numel(), dims, a.device_data<T>(), b.device_data<T>(),
                                   y.device_data<T>());
  });
}

void broadcast_to_cuda(const ops::BroadcastDims& dims, const Tensor& x, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    launch<broadcast_to_kernel<T>>(over(y.numel()), y.numel(), dims, x.device_data<T>(), y.device_data<T>());
  });
}

void add_into_cuda(const Tensor& term, Tensor& target) {
  over_pieces(Formula<scalar::Add>(), target, target, term);
}

void clamp_min_backward_cuda(const Tensor& gy, const Tensor& x, double lowest, Tensor& gx) {
  over_pieces(ClampMinGradient{static_cast<float>(lowest)}, gx, gy, x);
}

void greater_equal_cuda(const Tensor& x, double value, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    launch<greater_equal_kernel<T>>(over(y.numel()), y.numel(), x.device_data<T>(), static_cast<float>(value),
                                    y.device_data<u8>());
  });
}

[[maybe_unused]] const bool kAdded[] = {
    scalar::Unary::each([]<class F>(F) {
      ops::unary_kernels<F>.add(kDevice, unary_cuda<F>);
      ops::unary_backward_kernels<F>.add(kDevice, unary_backward_cuda<F>);
    }),
    scalar::WithNumber::each([]<class F>(F) { ops::unary_scalar_kernels<F>.add(kDevice, unary_scalar_cuda<F>); }),
    scalar::Binary::each([]<class F>(F) { ops::binary_kernels<F>.add(kDevice, binary_cuda<F>); }),
    ops::broadcast_to_kernels.add(kDevice, broadcast_to_cuda),
    ops::add_into_kernels.add(kDevice, add_into_cuda),
    ops::clamp_min_backward_kernels.add(kDevice, clamp_min_backward_cuda),
    ops::greater_equal_kernels.add(kDevice, greater_equal_cuda),
};

}  // namespace

}  // namespace tessera
