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

// --- The loops over n pieces of kWidth elements.
template <class F, class T, int kWidth>
__global__ void unary_kernel(i64 n, const T* x, T* y) {
  for (const i64 i : indices(n)) {
    auto values = Channels<kWidth>::load(x + i * kWidth);
    for (float& value : values.value) value = F::of(Libm(), value);
    values.store(y + i * kWidth);
  }
}

template <class F, class T, int kWidth>
__global__ void unary_scalar_kernel(i64 n, const T* x, float scalar, T* y) {
  for (const i64 i : indices(n)) {
    auto values = Channels<kWidth>::load(x + i * kWidth);
    for (float& value : values.value) value = F::of(Libm(), value, scalar);
    values.store(y + i * kWidth);
  }
}

// Of two arguments of equal shapes; y may be one of them.
template <class F, class T, int kWidth>
__global__ void binary_kernel(i64 n, const T* a, const T* b, T* y) {
  for (const i64 i : indices(n)) {
    auto values = Channels<kWidth>::load(a + i * kWidth);
    const auto others = Channels<kWidth>::load(b + i * kWidth);
    for (int j = 0; j < kWidth; ++j) values.value[j] = F::of(Libm(), values.value[j], others.value[j]);
    values.store(y + i * kWidth);
  }
}

template <class T, int kWidth>
__global__ void clamp_min_backward_kernel(i64 n, const T* gy, const T* x, float lowest, T* gx) {
  for (const i64 i : indices(n)) {
    auto gradient = Channels<kWidth>::load(gy + i * kWidth);
    const auto values = Channels<kWidth>::load(x + i * kWidth);
    for (int j = 0; j < kWidth; ++j)
      gradient.value[j] = scalar::ClampMin::gradient(Libm(), gradient.value[j], values.value[j], lowest);
    gradient.store(gx + i * kWidth);
  }
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
  dispatch_storage(x, [&]<class T>() {
    const T* from = x.device_data<T>();
    T* to = y.device_data<T>();
    dispatch_width(by_four(y.numel(), from, to), [&]<int kWidth>() {
      const i64 n = y.numel() / kWidth;
      launch<unary_kernel<F, T, kWidth>>(over(n), n, from, to);
    });
  });
}

template <class F>
void unary_scalar_cuda(const Tensor& x, double value, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    const T* from = x.device_data<T>();
    T* to = y.device_data<T>();
    dispatch_width(by_four(y.numel(), from, to), [&]<int kWidth>() {
      const i64 n = y.numel() / kWidth;
      launch<unary_scalar_kernel<F, T, kWidth>>(over(n), n, from, static_cast<float>(value), to);
    });
  });
}

template <class F>
void pairwise(const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_storage(y, [&]<class T>() {
    const T *first = a.device_data<T>(), *second = b.device_data<T>();
    T* to = y.device_data<T>();
    dispatch_width(by_four(y.numel(), first, second, to), [&]<int kWidth>() {
      const i64 n = y.numel() / kWidth;
      launch<binary_kernel<F, T, kWidth>>(over(n), n, first, second, to);
    });
  });
}

template <class F>
void unary_backward_cuda(const Tensor& gy, const Tensor& x_or_y, Tensor& gx) {
  pairwise<scalar::GradientOf<F>>(gy, x_or_y, gx);
}

template <class F>
void binary_cuda(const ops::BroadcastDims& dims, const Tensor& a, const Tensor& b, Tensor& y) {
  if (a.shape() == b.shape()) return pairwise<F>(a, b, y);
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
  pairwise<scalar::Add>(target, term, target);
}

void clamp_min_backward_cuda(const Tensor& gy, const Tensor& x, double lowest, Tensor& gx) {
  dispatch_storage(x, [&]<class T>() {
    const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
    T* to = gx.device_data<T>();
    dispatch_width(by_four(gx.numel(), gradient, values, to), [&]<int kWidth>() {
      const i64 n = gx.numel() / kWidth;
      launch<clamp_min_backward_kernel<T, kWidth>>(over(n), n, gradient, values, static_cast<float>(lowest), to);
    });
  });
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
