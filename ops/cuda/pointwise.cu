// Pointwise operators in CUDA, f32 and bf16: pieces of 16 bytes where the number of elements and the addresses allow
// it, else of one element, and of these a thread has kBatch (tensor/cuda/launch.h). Memory limits all of them;
// neighbouring threads have neighbouring pieces, so that a warp reads and writes whole lines.
#include <tuple>

#include "ops/cuda/channels.h"
#include "ops/cuda/walk.h"
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
  read_then_write(
      n, [&](i64 i) { return std::tuple(Channels<kWidth>::load(x + i * kWidth)...); },
      [&](i64 i, const auto& pieces) {
        std::apply([&](const auto&... piece) { each<kWidth>(f, piece...).store(y + i * kWidth); }, pieces);
      });
}
template <class T, class>
using Same = T;
template <class F, class... Arguments>
void over_pieces(const F& f, Tensor& y, const Arguments&... x) {
  dispatch_storage(y, [&]<class T>() {
    T* to = y.device_data<T>();
    dispatch_pieces<T>(y.numel(), {to, x.raw()...}, [&]<int kWidth>() {
      const i64 n = y.numel() / kWidth;
      launch<pieces_kernel<F, kWidth, T, Same<T, Arguments>...>>(over_batches(n), n, f, to,
                                                                 x.template device_data<T>()...);
    });
  });
}

template <class F, int kWidth, class T>
__global__ void broadcast_kernel(Walk<2> walk, i64 n, const T* __restrict__ a, const T* __restrict__ b,
                                 T* __restrict__ y) {
  read_then_write(
      n,
      [&](i64 i) {
        const auto at = walk(i);
        return std::pair(Channels<kWidth>::load(a + at[0]), Channels<kWidth>::load(b + at[1]));
      },
      [&](i64 i, const auto& pair) { each<kWidth>(Formula<F>(), pair.first, pair.second).store(y + i * kWidth); });
}

template <class T>
__global__ void greater_equal_kernel(i64 n, const T* x, float value, u8* y) {
  read_then_write(
      n, [&](i64 i) { return x[i]; }, [&](i64 i, T element) { y[i] = load(&element) >= value; });
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
    const T *from_a = a.device_data<T>(), *from_b = b.device_data<T>();
    T* to = y.device_data<T>();
    // Where one argument is repeated along the last dimension, pieces are elements.
    const int last = dims.rank - 1;
    const i64 run = dims.step_a[last] == 1 && dims.step_b[last] == 1 ? dims.size[last] : 1;
    dispatch_pieces<T>(run, {from_a, from_b, to}, [&]<int kWidth>() {
      const Walk<2> walk(dims.rank, dims.size, {dims.step_a, dims.step_b}, kWidth, 1);
      launch<broadcast_kernel<F, kWidth, T>>(over_batches(walk.pieces()), walk, walk.pieces(), from_a, from_b, to);
    });
  });
}

void broadcast_to_cuda(const ops::BroadcastDims& dims, const Tensor& x, Tensor& y) {
  copy_walk(dims.rank, dims.size, dims.step_a, x, y);
}

void add_into_cuda(const Tensor& term, Tensor& target) {
  over_pieces(Formula<scalar::Add>(), target, target, term);
}

void clamp_min_backward_cuda(const Tensor& gy, const Tensor& x, double lowest, Tensor& gx) {
  over_pieces(ClampMinGradient{static_cast<float>(lowest)}, gx, gy, x);
}

void greater_equal_cuda(const Tensor& x, double value, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    launch<greater_equal_kernel<T>>(over_batches(y.numel()), y.numel(), x.device_data<T>(), static_cast<float>(value),
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
