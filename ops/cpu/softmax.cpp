// Softmax on the CPU: one piece of work is one row, or one tile of neighbouring columns when the dimension is not the
// last one; the loops are in ops/cpu/simd/softmax.cpp.
#include "ops/softmax.h"

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/softmax.h"

namespace tessera {

namespace {

constexpr i64 kGrain = 8192;  // elements per thread below which starting threads costs more than it gives

// run(offset, columns) for every row or tile.
template <class Run>
void for_each_tile(const ops::ReduceDims& dims, const Run& run) {
  if (dims.count == 0) return;
  const i64 width = simd::kSoftmaxColumns, tiles = (dims.inner + width - 1) / width;
  const i64 work = dims.count * std::clamp<i64>(dims.inner, 1, width);
  parallel_ranges(dims.outer * tiles, std::max<i64>(1, kGrain / work), [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const i64 column = i % tiles * width;
      run(i / tiles * dims.count * dims.inner + column, std::min(width, dims.inner - column));
    }
  });
}

template <const simd::FloatTables<simd::Softmax>& kLoops>
void softmax_cpu(const ops::ReduceDims& dims, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype(), OpScope::current(), [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_each_tile(dims, [&](i64 at, i64 columns) { loop(in + at, out + at, dims.count, dims.inner, columns); });
  });
}

template <const simd::FloatTables<simd::SoftmaxBackward>& kLoops>
void softmax_backward_cpu(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& y, Tensor& gx) {
  dispatch_float(y.dtype(), OpScope::current(), [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const T *g = gy.data<T>(), *in = y.data<T>();
    T* out = gx.data<T>();
    for_each_tile(dims, [&](i64 at, i64 columns) { loop(g + at, in + at, out + at, dims.count, dims.inner, columns); });
  });
}

[[maybe_unused]] const bool kAdded = scalar::Softmaxes::each([]<class F>(F) {
  ops::softmax_kernels<F>.add(DeviceKind::kCpu, softmax_cpu<simd::softmax<F>>);
  ops::softmax_backward_kernels<F>.add(DeviceKind::kCpu, softmax_backward_cpu<simd::softmax_backward<F>>);
});

}  // namespace

}  // namespace tessera
