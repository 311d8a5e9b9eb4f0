// y[i] = f(x[i]) for every pointwise f: one functor per operator, one loop per kind of operator. The functors are
// written without branches, so that the compiler vectorises the loops at each SIMD level.
#include "ops/cpu/simd/pointwise.h"

#include "ops/cpu/simd/elementary.h"

namespace tessera {
namespace {

// Comparisons are turned so that NaN takes the branch that keeps it; in the backwards it takes the one that stops the
// gradient (ops/pointwise.h).
struct Relu {
  template <class T>
  T operator()(T x) const {
    return x < 0 ? T(0) : x;
  }
};
struct Relu6 {
  template <class T>
  T operator()(T x) const {
    return x < 0 ? T(0) : x > 6 ? T(6) : x;
  }
};
struct Sigmoid {
  template <class T>
  T operator()(T x) const {
    return sigmoid_of(x);
  }
};
struct Tanh {
  template <class T>
  T operator()(T x) const {
    return tanh_of(x);
  }
};
struct Gelu {
  template <class T>
  T operator()(T x) const {
    return x * normal_cdf(x, exp_of(T(-0.5) * x * x));
  }
};
struct Silu {
  template <class T>
  T operator()(T x) const {
    return x * sigmoid_of(x);
  }
};
struct Exp {
  template <class T>
  T operator()(T x) const {
    return exp_of(x);
  }
};
struct Log {
  template <class T>
  T operator()(T x) const {
    return log_of(x);
  }
};
struct Softplus {
  template <class T>
  T operator()(T x) const {
    return (x < 0 ? T(0) : x) + log1p_of(exp_of(-abs_of(x)));
  }
};
struct Sqrt {
  template <class T>
  T operator()(T x) const {
    return sqrt_of(x);
  }
};

struct AddScalar {
  template <class T>
  T operator()(T x, T value) const {
    return x + value;
  }
};
struct MulScalar {
  template <class T>
  T operator()(T x, T value) const {
    return x * value;
  }
};
struct ClampMin {
  template <class T>
  T operator()(T x, T lowest) const {
    return x < lowest ? lowest : x;
  }
};

struct ReluBackward {
  template <class T>
  T operator()(T gy, T y) const {
    return y > 0 ? gy : T(0);
  }
};
struct Relu6Backward {
  template <class T>
  T operator()(T gy, T y) const {
    return (y > 0) & (y < 6) ? gy : T(0);
  }
};
struct SigmoidBackward {
  template <class T>
  T operator()(T gy, T y) const {
    return gy * (y * (1 - y));
  }
};
struct TanhBackward {
  template <class T>
  T operator()(T gy, T y) const {
    return gy * (1 - y * y);
  }
};
struct GeluBackward {
  template <class T>
  T operator()(T gy, T x) const {
    const T e = exp_of(T(-0.5) * x * x);
    return gy * (normal_cdf(x, e) + x * e * T(0.39894228040143267794));  // 1 / sqrt(2 pi)
  }
};
struct SiluBackward {
  template <class T>
  T operator()(T gy, T x) const {
    const T s = sigmoid_of(x);
    return gy * (s * (1 + x * (1 - s)));
  }
};
struct LogBackward {
  template <class T>
  T operator()(T gy, T x) const {
    return gy / x;
  }
};
struct SoftplusBackward {
  template <class T>
  T operator()(T gy, T x) const {
    return gy * sigmoid_of(x);
  }
};
struct SqrtBackward {
  template <class T>
  T operator()(T gy, T y) const {
    return gy / (2 * y);
  }
};

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
struct AddRelu {
  template <class T>
  T operator()(T a, T b) const {
    return Relu()(a + b);
  }
};

// --- The loops. `omp simd` asserts that iterations are independent, which in-place calls are as well.
template <class F, class T>
void unary(const T* x, T* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = F()(x[i]);
}

template <class F, class T>
void unary_into(const T* x, T* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = F()(y[i], x[i]);
}

template <class F, class T>
void unary_scalar(const T* x, T value, T* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = F()(x[i], value);
}

template <class F, class T>
void unary_backward(const T* gy, const T* x_or_y, T* gx, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) gx[i] = F()(gy[i], x_or_y[i]);
}

template <class F, class T>
void binary(const T* a, long step_a, const T* b, long step_b, T* y, long n) {
  if (step_a && step_b) return unary_backward<F, T>(a, b, y, n);
  if (step_a) return unary_scalar<F, T>(a, *b, y, n);
  const T first = *a;
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = F()(first, b[i]);
}

// --- One line per operator.
constexpr int kLevel = TESSERA_SIMD_LEVEL;

template <class F>
[[gnu::always_inline]] inline bool add_kernel(simd::FloatTables<simd::Unary>& table) {
  return table.add(kLevel, unary<F, float>, unary<F, double>);
}
template <class F>
[[gnu::always_inline]] inline bool add_kernel(simd::FloatTables<simd::UnaryScalar>& table) {
  return table.add(kLevel, unary_scalar<F, float>, unary_scalar<F, double>);
}
template <class F>
[[gnu::always_inline]] inline bool add_kernel(simd::FloatTables<simd::UnaryBackward>& table) {
  return table.add(kLevel, unary_backward<F, float>, unary_backward<F, double>);
}
template <class F>
[[gnu::always_inline]] inline bool add_kernel(simd::FloatTables<simd::Binary>& table) {
  return table.add(kLevel, binary<F, float>, binary<F, double>);
}

[[maybe_unused]] const bool kAdded[] = {
    add_kernel<Relu>(simd::relu),
    add_kernel<Relu6>(simd::relu6),
    add_kernel<Sigmoid>(simd::sigmoid),
    add_kernel<Tanh>(simd::tanh),
    add_kernel<Gelu>(simd::gelu),
    add_kernel<Silu>(simd::silu),
    add_kernel<Exp>(simd::exp),
    add_kernel<Log>(simd::log),
    add_kernel<Softplus>(simd::softplus),
    add_kernel<Sqrt>(simd::sqrt),
    simd::add_into.add(kLevel, unary_into<Add, float>, unary_into<Add, double>),
    add_kernel<AddScalar>(simd::add_scalar),
    add_kernel<MulScalar>(simd::mul_scalar),
    add_kernel<ClampMin>(simd::clamp_min),
    add_kernel<ReluBackward>(simd::relu_backward),
    add_kernel<Relu6Backward>(simd::relu6_backward),
    add_kernel<SigmoidBackward>(simd::sigmoid_backward),
    add_kernel<TanhBackward>(simd::tanh_backward),
    add_kernel<GeluBackward>(simd::gelu_backward),
    add_kernel<SiluBackward>(simd::silu_backward),
    add_kernel<LogBackward>(simd::log_backward),
    add_kernel<SoftplusBackward>(simd::softplus_backward),
    add_kernel<SqrtBackward>(simd::sqrt_backward),
    add_kernel<Add>(simd::add),
    add_kernel<Sub>(simd::sub),
    add_kernel<Mul>(simd::mul),
    add_kernel<Div>(simd::div),
    add_kernel<AddRelu>(simd::add_relu),
};

}  // namespace
}  // namespace tessera
