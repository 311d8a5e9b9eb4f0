// Pointwise operators in CUDA, f32 and bf16: a thread has four neighbouring elements where their number and addresses
// allow it, else one, and in very large tensors several such, one grid apart. Memory limits all of them; neighbouring
// threads have neighbouring elements, so that a warp reads and writes whole lines.
#include "ops/cuda/channels.h"
#include "ops/cuda/elementary.h"
#include "ops/pointwise.h"

namespace tessera {

namespace {

using namespace cuda;

// --- The functions. Each is a struct so that it can be a template argument; formulas in ops/pointwise.h.
struct Add {
  __device__ static float of(float a, float b) { return a + b; }
};
struct Sub {
  __device__ static float of(float a, float b) { return a - b; }
};
struct Mul {
  __device__ static float of(float a, float b) { return a * b; }
};
struct Div {
  __device__ static float of(float a, float b) { return a / b; }
};
__device__ float relu_of(float x) {
  return x < 0 ? 0.0f : x;  // NaN passes
}
struct AddRelu {
  __device__ static float of(float a, float b) { return relu_of(a + b); }
};
struct Relu {
  __device__ static float of(float x) { return relu_of(x); }
};
struct Relu6 {
  __device__ static float of(float x) { return x < 0 ? 0.0f : x > 6 ? 6.0f : x; }
};
struct Sigmoid {
  __device__ static float of(float x) { return sigmoid_of(x); }
};
struct Tanh {
  __device__ static float of(float x) { return std::tanh(x); }
};
__device__ float normal_distribution(float x) {
  return 0.5f * std::erfc(-x * 0.70710678f);  // erfc keeps its precision where x is far below 0
}
struct Gelu {
  __device__ static float of(float x) { return x * normal_distribution(x); }
};
struct Silu {
  __device__ static float of(float x) { return x * sigmoid_of(x); }
};
struct Exp {
  __device__ static float of(float x) { return std::exp(x); }
};
struct Log {
  __device__ static float of(float x) { return std::log(x); }
};
struct Softplus {
  __device__ static float of(float x) { return (x > 0 ? x : x < 0 ? 0.0f : x) + std::log1p(std::exp(-std::abs(x))); }
};
struct Sqrt {
  __device__ static float of(float x) { return std::sqrt(x); }
};

struct AddScalar {
  __device__ static float of(float x, float value) { return x + value; }
};
struct MulScalar {
  __device__ static float of(float x, float value) { return x * value; }
};
struct ClampMin {
  __device__ static float of(float x, float lowest) { return x < lowest ? lowest : x; }
};

struct ReluBackward {
  __device__ static float of(float g, float y) { return y > 0 ? g : 0.0f; }
};
struct Relu6Backward {
  __device__ static float of(float g, float y) { return y > 0 && y < 6 ? g : 0.0f; }
};
struct SigmoidBackward {
  __device__ static float of(float g, float y) { return g * y * (1 - y); }
};
struct TanhBackward {
  __device__ static float of(float g, float y) { return g * (1 - y * y); }
};
struct GeluBackward {
  __device__ static float of(float g, float x) {
    const float density = 0.39894228f * std::exp(-0.5f * x * x);
    return g * (normal_distribution(x) + x * density);
  }
};
struct SiluBackward {
  __device__ static float of(float g, float x) {
    const float s = sigmoid_of(x);
    return g * s * (1 + x * (1 - s));
  }
};
struct LogBackward {
  __device__ static float of(float g, float x) { return g / x; }
};
struct SoftplusBackward {
  __device__ static float of(float g, float x) { return g * sigmoid_of(x); }
};
struct SqrtBackward {
  __device__ static float of(float g, float y) { return g / (2 * y); }
};

// --- The loops over n pieces of kWidth elements.
template <class F, class T, int kWidth>
__global__ void unary_kernel(i64 n, const T* x, T* y) {
  for (const i64 i : indices(n)) {
    auto values = Channels<kWidth>::load(x + i * kWidth);
    for (float& value : values.value) value = F::of(value);
    values.store(y + i * kWidth);
  }
}

template <class F, class T, int kWidth>
__global__ void unary_scalar_kernel(i64 n, const T* x, float scalar, T* y) {
  for (const i64 i : indices(n)) {
    auto values = Channels<kWidth>::load(x + i * kWidth);
    for (float& value : values.value) value = F::of(value, scalar);
    values.store(y + i * kWidth);
  }
}

// Of two arguments of equal shapes; y may be one of them.
template <class F, class T, int kWidth>
__global__ void binary_kernel(i64 n, const T* a, const T* b, T* y) {
  for (const i64 i : indices(n)) {
    auto values = Channels<kWidth>::load(a + i * kWidth);
    const auto others = Channels<kWidth>::load(b + i * kWidth);
    for (int j = 0; j < kWidth; ++j) values.value[j] = F::of(values.value[j], others.value[j]);
    values.store(y + i * kWidth);
  }
}

template <class T, int kWidth>
__global__ void clamp_min_backward_kernel(i64 n, const T* gy, const T* x, float lowest, T* gx) {
  for (const i64 i : indices(n)) {
    auto gradient = Channels<kWidth>::load(gy + i * kWidth);
    const auto values = Channels<kWidth>::load(x + i * kWidth);
    for (int j = 0; j < kWidth; ++j) gradient.value[j] = values.value[j] >= lowest ? gradient.value[j] : 0.0f;
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
    store(y + i, F::of(load(a + at.a), load(b + at.b)));
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
  pairwise<F>(gy, x_or_y, gx);
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
  pairwise<Add>(target, term, target);
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
    ops::add_kernels.add(kDevice, binary_cuda<Add>),
    ops::sub_kernels.add(kDevice, binary_cuda<Sub>),
    ops::mul_kernels.add(kDevice, binary_cuda<Mul>),
    ops::div_kernels.add(kDevice, binary_cuda<Div>),
    ops::add_relu_kernels.add(kDevice, binary_cuda<AddRelu>),
    ops::broadcast_to_kernels.add(kDevice, broadcast_to_cuda),
    ops::add_into_kernels.add(kDevice, add_into_cuda),
    ops::add_scalar_kernels.add(kDevice, unary_scalar_cuda<AddScalar>),
    ops::mul_scalar_kernels.add(kDevice, unary_scalar_cuda<MulScalar>),
    ops::clamp_min_kernels.add(kDevice, unary_scalar_cuda<ClampMin>),
    ops::clamp_min_backward_kernels.add(kDevice, clamp_min_backward_cuda),
    ops::greater_equal_kernels.add(kDevice, greater_equal_cuda),
    ops::relu_kernels.add(kDevice, unary_cuda<Relu>),
    ops::relu6_kernels.add(kDevice, unary_cuda<Relu6>),
    ops::sigmoid_kernels.add(kDevice, unary_cuda<Sigmoid>),
    ops::tanh_kernels.add(kDevice, unary_cuda<Tanh>),
    ops::gelu_kernels.add(kDevice, unary_cuda<Gelu>),
    ops::silu_kernels.add(kDevice, unary_cuda<Silu>),
    ops::exp_kernels.add(kDevice, unary_cuda<Exp>),
    ops::log_kernels.add(kDevice, unary_cuda<Log>),
    ops::softplus_kernels.add(kDevice, unary_cuda<Softplus>),
    ops::sqrt_kernels.add(kDevice, unary_cuda<Sqrt>),
    ops::relu_backward_kernels.add(kDevice, unary_backward_cuda<ReluBackward>),
    ops::relu6_backward_kernels.add(kDevice, unary_backward_cuda<Relu6Backward>),
    ops::sigmoid_backward_kernels.add(kDevice, unary_backward_cuda<SigmoidBackward>),
    ops::tanh_backward_kernels.add(kDevice, unary_backward_cuda<TanhBackward>),
    ops::gelu_backward_kernels.add(kDevice, unary_backward_cuda<GeluBackward>),
    ops::silu_backward_kernels.add(kDevice, unary_backward_cuda<SiluBackward>),
    ops::log_backward_kernels.add(kDevice, unary_backward_cuda<LogBackward>),
    ops::softplus_backward_kernels.add(kDevice, unary_backward_cuda<SoftplusBackward>),
    ops::sqrt_backward_kernels.add(kDevice, unary_backward_cuda<SqrtBackward>),
};

}  // namespace

}  // namespace tessera
