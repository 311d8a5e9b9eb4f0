// Layer normalisation on the CPU; ops/layer_norm.h states the formulas, ops/cpu/simd/layer_norm.cpp has the loops. Rows
// are independent. The gradients of weight and bias are summed over chunks of rows, whose size depends on C alone, and
// the chunks are added in order, in double: the result does not depend on the number of threads.
#include "ops/layer_norm.h"

#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/layer_norm.h"

namespace tessera::ops {

namespace {

constexpr i64 kGrain = 8192;  // elements per thread below which starting threads costs more than it gives

template <class T>
const T* or_constant(const Tensor& vector, std::vector<T>& constant, i64 C, T value) {
  if (vector.defined()) return vector.data<T>();
  constant.assign(static_cast<size_t>(C), value);
  return constant.data();
}

template <class T>
void forward(const Tensor& x_, const Tensor& weight_, const Tensor& bias_, double eps, Tensor& mean_, Tensor& rstd_,
             Tensor& y_) {
  const i64 C = x_.dim(-1), R = mean_.numel();
  if (C == 0) {  // rows of nothing
    mean_.fill(0);
    rstd_.fill(0);
    return;
  }
  std::vector<T> ones, zeros;
  const T *weight = or_constant<T>(weight_, ones, C, 1), *bias = or_constant<T>(bias_, zeros, C, 0);
  const T* x = x_.data<T>();
  T *mean = mean_.data<T>(), *rstd = rstd_.data<T>(), *y = y_.data<T>();
  const auto loop = simd::layer_norm.get<T>();
  parallel_ranges(R, std::max<i64>(1, kGrain / C), [&](i64 begin, i64 end) {
    loop(x + begin * C, weight, bias, eps, end - begin, C, mean + begin, rstd + begin, y + begin * C);
  });
}

template <class T>
void backward(const Tensor& gy_, const Tensor& x_, const Tensor& weight_, const Tensor& mean_, const Tensor& rstd_,
              Tensor& gweight, Tensor& gbias, Tensor& gx_) {
  const i64 C = x_.dim(-1), R = mean_.numel();
  if (C == 0) return;
  std::vector<T> ones;
  const T *weight = or_constant<T>(weight_, ones, C, 1), *gy = gy_.data<T>(), *x = x_.data<T>();
  const T *mean = mean_.data<T>(), *rstd = rstd_.data<T>();
  T* gx = gx_.data<T>();
  const i64 chunk = std::clamp<i64>(32768 / C, 8, 256), chunks = (R + chunk - 1) / chunk;
  std::vector<T> partial(static_cast<size_t>(chunks * 2 * C));
  const auto loop = simd::layer_norm_backward.get<T>();
  parallel_ranges(chunks, 1, [&](i64 first, i64 last) {
    for (i64 k = first; k < last; ++k) {
      const i64 begin = k * chunk, rows = std::min(chunk, R - begin);
      T* sums = partial.data() + k * 2 * C;
      loop(gy + begin * C, x + begin * C, weight, mean + begin, rstd + begin, rows, C, sums, sums + C, gx + begin * C);
    }
  });
  std::vector<double> total(static_cast<size_t>(2 * C));
  for (i64 k = 0; k < chunks; ++k)
    for (i64 c = 0; c < 2 * C; ++c) total[c] += partial[k * 2 * C + c];
  for (i64 c = 0; c < C; ++c) {
    gweight.data<T>()[c] = static_cast<T>(total[c]);
    gbias.data<T>()[c] = static_cast<T>(total[C + c]);
  }
}

void layer_norm_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& mean, Tensor& rstd,
                    Tensor& y) {
  dispatch_float(x.dtype(), "layer_norm", [&]<class T>() { forward<T>(x, weight, bias, eps, mean, rstd, y); });
}

void layer_norm_backward_cpu(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                             const Tensor& rstd, Tensor& gweight, Tensor& gbias, Tensor& gx) {
  dispatch_float(x.dtype(), "layer_norm_backward",
                 [&]<class T>() { backward<T>(gy, x, weight, mean, rstd, gweight, gbias, gx); });
}

const bool kAdded = layer_norm_kernels.add(DeviceKind::kCpu, layer_norm_cpu) &&
                    layer_norm_backward_kernels.add(DeviceKind::kCpu, layer_norm_backward_cpu);

}  // namespace

}  // namespace tessera::ops
