// Pointwise operators on the CPU: elements are split into ranges over the threads, and the loops of
// ops/cpu/simd/pointwise.cpp run over each. An element depends on its own arguments only, so the split does not show in
// the results.
#include "ops/pointwise.h"

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/pointwise.h"
#include "ops/scalar/libm.h"

namespace tessera {

namespace {

constexpr i64 kGrain = 32768;  // elements per thread below which starting threads costs more than it gives

template <const simd::FloatTables<simd::Unary>& kLoops>
void unary_cpu(const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype(), OpScope::current(), [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_ranges(y.numel(), kGrain, [&](i64 begin, i64 end) { loop(in + begin, out + begin, end - begin); });
  });
}

template <const simd::FloatTables<simd::UnaryScalar>& kLoops>
void unary_scalar_cpu(const Tensor& x, double value, Tensor& y) {
  dispatch_float(x.dtype(), OpScope::current(), [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_ranges(y.numel(), kGrain,
                    [&](i64 begin, i64 end) { loop(in + begin, static_cast<T>(value), out + begin, end - begin); });
  });
}

template <const simd::FloatTables<simd::UnaryBackward>& kLoops>
void unary_backward_cpu(const Tensor& gy, const Tensor& x_or_y, Tensor& gx) {
  dispatch_float(gy.dtype(), OpScope::current(), [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const T *g = gy.data<T>(), *v = x_or_y.data<T>();
    T* out = gx.data<T>();
    parallel_ranges(gx.numel(), kGrain,
                    [&](i64 begin, i64 end) { loop(g + begin, v + begin, out + begin, end - begin); });
  });
}

// Calls run(a, b, y, n) on pieces of the last dimension: element offsets of both arguments and of y, and a length. With
// long runs the run itself is split over the threads, with short ones the runs are.
template <class Run>
void for_each_run(const ops::BroadcastDims& dims, const Run& run) {
  const int last = dims.rank - 1;
  const i64 length = dims.size[last];
  i64 runs = 1;
  for (int d = 0; d < last; ++d) runs *= dims.size[d];
  if (length == 0 || runs == 0) return;
  const i64 piece = std::min(length, kGrain), pieces = (length + piece - 1) / piece;
  parallel_ranges(runs * pieces, std::max<i64>(1, kGrain / piece), [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const i64 start = i % pieces * piece;
      i64 row = i / pieces, a = start * dims.step_a[last], b = start * dims.step_b[last];
      for (int d = last - 1; d >= 0; --d) {
        const i64 index = row % dims.size[d];
        row /= dims.size[d];
        a += index * dims.step_a[d];
        b += index * dims.step_b[d];
      }
      run(a, b, i / pieces * length + start, std::min(piece, length - start));
    }
  });
}

template <const simd::FloatTables<simd::Binary>& kLoops>
void binary_cpu(const ops::BroadcastDims& dims, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_float(a.dtype(), OpScope::current(), [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const T *first = a.data<T>(), *second = b.data<T>();
    T* out = y.data<T>();
    const i64 step_a = dims.step_a[dims.rank - 1], step_b = dims.step_b[dims.rank - 1];
    for_each_run(dims, [&](i64 at_a, i64 at_b, i64 at_y, i64 n) {
      loop(first + at_a, step_a, second + at_b, step_b, out + at_y, n);
    });
  });
}

void broadcast_to_cpu(const ops::BroadcastDims& dims, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype(), "broadcast_to", [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    const bool repeat = dims.step_a[dims.rank - 1] == 0;
    for_each_run(dims, [&](i64 at_x, i64, i64 at_y, i64 n) {
      if (repeat) {
        std::fill_n(out + at_y, n, in[at_x]);
      } else {
        std::copy_n(in + at_x, n, out + at_y);
      }
    });
  });
}

void clamp_min_backward_cpu(const Tensor& gy, const Tensor& x, double lowest, Tensor& gx) {
  dispatch_float(gy.dtype(), "clamp_min_backward", [&]<class T>() {
    const T *g = gy.data<T>(), *in = x.data<T>(), bound = static_cast<T>(lowest);
    T* out = gx.data<T>();
    parallel_ranges(gx.numel(), kGrain, [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) out[i] = scalar::ClampMin::gradient(scalar::Libm(), g[i], in[i], bound);
    });
  });
}

void greater_equal_cpu(const Tensor& x, double value, Tensor& y) {
  dispatch_float(x.dtype(), "greater_equal", [&]<class T>() {
    const T *in = x.data<T>(), bound = static_cast<T>(value);
    u8* out = y.data<u8>();
    parallel_ranges(y.numel(), kGrain, [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) out[i] = in[i] >= bound;
    });
  });
}

constexpr DeviceKind kCpu = DeviceKind::kCpu;

[[maybe_unused]] const bool kAdded[] = {
    scalar::Unary::each([]<class F>(F) {
      ops::unary_kernels<F>.add(kCpu, unary_cpu<simd::unary<F>>);
      ops::unary_backward_kernels<F>.add(kCpu, unary_backward_cpu<simd::unary_backward<F>>);
    }),
    scalar::WithNumber::each(
        []<class F>(F) { ops::unary_scalar_kernels<F>.add(kCpu, unary_scalar_cpu<simd::unary_scalar<F>>); }),
    scalar::Binary::each([]<class F>(F) { ops::binary_kernels<F>.add(kCpu, binary_cpu<simd::binary<F>>); }),
    ops::broadcast_to_kernels.add(kCpu, broadcast_to_cpu),
    ops::add_into_kernels.add(kCpu, unary_cpu<simd::add_into>),
    ops::clamp_min_backward_kernels.add(kCpu, clamp_min_backward_cpu),
    ops::greater_equal_kernels.add(kCpu, greater_equal_cpu),
};

}  // namespace

}  // namespace tessera
