// Batch normalisation on the CPU; ops/batch_norm.h states the formulas. Channels are innermost: every loop over c is a
// vector loop. Column sums work on chunks of rows whose size depends on C alone, and the chunks are combined in order,
// in double: the result does not depend on the number of threads. A chunk stays in the cache, so the two passes of its
// variance (first the mean, then the squares about it) read memory once.
#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera::ops {

namespace {

struct Rows {  // x [..., C] as P rows of C channels, in chunks for the column sums
  explicit Rows(const Tensor& x)
      : C(x.dim(-1)),
        P(x.shape().numel(0, x.rank() - 1)),
        chunk(std::clamp<i64>(16384 / std::max<i64>(C, 1), 16, 256)),
        chunks((P + chunk - 1) / chunk) {}
  i64 begin(i64 k) const { return k * chunk; }
  i64 end(i64 k) const { return std::min(P, (k + 1) * chunk); }
  bool threaded() const { return P * C > 1 << 15; }
  i64 C, P, chunk, chunks;
};

// Per chunk: [means, sums of squares about them], combined by Chan, Golub and LeVeque (1979), eq. 1.5.
template <class T>
void column_moments(const Rows& rows, const T* x, std::vector<double>& mean, std::vector<double>& squares) {
  const i64 C = rows.C;
  std::vector<T> partial(rows.chunks * 2 * C);
#pragma omp parallel for schedule(static) if (rows.threaded())
  for (i64 k = 0; k < rows.chunks; ++k) {
    T* m = partial.data() + k * 2 * C;
    T* s = m + C;
    const T scale = T(1) / static_cast<T>(rows.end(k) - rows.begin(k));
    for (i64 p = rows.begin(k); p < rows.end(k); ++p)
      for (i64 c = 0; c < C; ++c) m[c] += x[p * C + c];
    for (i64 c = 0; c < C; ++c) m[c] *= scale;
    for (i64 p = rows.begin(k); p < rows.end(k); ++p)
      for (i64 c = 0; c < C; ++c) s[c] += (x[p * C + c] - m[c]) * (x[p * C + c] - m[c]);
  }
  mean.assign(C, 0);
  squares.assign(C, 0);
  for (i64 k = 0; k < rows.chunks; ++k) {
    const double before = static_cast<double>(rows.begin(k)), n = static_cast<double>(rows.end(k)) - before;
    const double share = n / (before + n);
    const T* m = partial.data() + k * 2 * C;
    const T* s = m + C;
    for (i64 c = 0; c < C; ++c) {
      const double delta = m[c] - mean[c];
      mean[c] += delta * share;
      squares[c] += s[c] + delta * delta * before * share;
    }
  }
}

// sum_p gy and sum_p gy * (x - mean) per channel.
template <class T>
void gradient_sums(const Rows& rows, const T* gy, const T* x, const T* mean, std::vector<double>& sum,
                   std::vector<double>& product) {
  const i64 C = rows.C;
  std::vector<T> partial(rows.chunks * 2 * C);
#pragma omp parallel for schedule(static) if (rows.threaded())
  for (i64 k = 0; k < rows.chunks; ++k) {
    T* s = partial.data() + k * 2 * C;
    T* q = s + C;
    for (i64 p = rows.begin(k); p < rows.end(k); ++p)
      for (i64 c = 0; c < C; ++c) {
        s[c] += gy[p * C + c];
        q[c] += gy[p * C + c] * (x[p * C + c] - mean[c]);
      }
  }
  sum.assign(C, 0);
  product.assign(C, 0);
  for (i64 k = 0; k < rows.chunks; ++k)
    for (i64 c = 0; c < C; ++c) {
      sum[c] += partial[k * 2 * C + c];
      product[c] += partial[(k * 2 + 1) * C + c];
    }
}

template <class T>
void forward(const Tensor& x_, const Tensor& weight_, const Tensor& bias_, Tensor& running_mean_, Tensor& running_var_,
             const BatchNormParams& params, Tensor& mean_, Tensor& invstd_, Tensor& y_) {
  const Rows rows(x_);
  const i64 C = rows.C, P = rows.P;
  const T *x = x_.data<T>(), *weight = weight_.data<T>(), *bias = bias_.data<T>();
  T *running_mean = running_mean_.data<T>(), *running_var = running_var_.data<T>();
  T *mean = mean_.data<T>(), *invstd = invstd_.data<T>(), *y = y_.data<T>();
  if (params.training && P > 0) {
    std::vector<double> m, squares;
    column_moments(rows, x, m, squares);
    for (i64 c = 0; c < C; ++c) {
      const double count = static_cast<double>(P), unbiased = squares[c] / (count - 1);
      mean[c] = static_cast<T>(m[c]);
      invstd[c] = static_cast<T>(1 / std::sqrt(squares[c] / count + params.eps));
      running_mean[c] = static_cast<T>((1 - params.momentum) * running_mean[c] + params.momentum * m[c]);
      running_var[c] = static_cast<T>((1 - params.momentum) * running_var[c] + params.momentum * unbiased);
    }
  } else {
    for (i64 c = 0; c < C; ++c) {
      mean[c] = running_mean[c];
      invstd[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(running_var[c]) + params.eps));
    }
  }
  std::vector<T> scale_(C);
  T* scale = scale_.data();
  for (i64 c = 0; c < C; ++c) scale[c] = weight[c] * invstd[c];
#pragma omp parallel for schedule(static) if (rows.threaded())
  for (i64 p = 0; p < P; ++p)
    for (i64 c = 0; c < C; ++c) y[p * C + c] = (x[p * C + c] - mean[c]) * scale[c] + bias[c];
}

template <class T>
void frozen_backward(const Tensor& gy_, const Tensor& weight_, const Tensor& invstd_, Tensor& gx_) {
  const Rows rows(gy_);
  const i64 C = rows.C;
  const T *gy = gy_.data<T>(), *weight = weight_.data<T>(), *invstd = invstd_.data<T>();
  T* gx = gx_.data<T>();
#pragma omp parallel for schedule(static) if (rows.threaded())
  for (i64 p = 0; p < rows.P; ++p)
    for (i64 c = 0; c < C; ++c) gx[p * C + c] = weight[c] * invstd[c] * gy[p * C + c];
}

template <class T>
void backward(const Tensor& gy_, const Tensor& x_, const Tensor& weight_, const Tensor& mean_, const Tensor& invstd_,
              bool training, Tensor& gx_, Tensor& gweight, Tensor& gbias) {
  const Rows rows(x_);
  const i64 C = rows.C, P = rows.P;
  const T *gy = gy_.data<T>(), *x = x_.data<T>(), *weight = weight_.data<T>();
  const T *mean = mean_.data<T>(), *invstd = invstd_.data<T>();
  std::vector<double> sum, product;
  gradient_sums(rows, gy, x, mean, sum, product);
  for (i64 c = 0; c < C; ++c) {
    gbias.data<T>()[c] = static_cast<T>(sum[c]);
    gweight.data<T>()[c] = static_cast<T>(product[c] * invstd[c]);
  }
  if (!training || P == 0) return frozen_backward<T>(gy_, weight_, invstd_, gx_);

  // gx = scale * (gy - shift - (x - mean) * slope)
  std::vector<T> constants(3 * C);
  T *scale = constants.data(), *shift = scale + C, *slope = shift + C;
  for (i64 c = 0; c < C; ++c) {
    const double count = static_cast<double>(P), rate = invstd[c];
    scale[c] = weight[c] * invstd[c];
    shift[c] = static_cast<T>(sum[c] / count);
    slope[c] = static_cast<T>(product[c] * rate * rate / count);
  }
  T* gx = gx_.data<T>();
#pragma omp parallel for schedule(static) if (rows.threaded())
  for (i64 p = 0; p < P; ++p)
    for (i64 c = 0; c < C; ++c)
      gx[p * C + c] = scale[c] * (gy[p * C + c] - shift[c] - (x[p * C + c] - mean[c]) * slope[c]);
}

void batch_norm_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                    Tensor& running_var, const BatchNormParams& params, Tensor& mean, Tensor& invstd, Tensor& y) {
  dispatch_float(x.dtype(), "batch_norm",
                 [&]<class T>() { forward<T>(x, weight, bias, running_mean, running_var, params, mean, invstd, y); });
}

void batch_norm_backward_cpu(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                             const Tensor& invstd, bool training, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  dispatch_float(x.dtype(), "batch_norm_backward",
                 [&]<class T>() { backward<T>(gy, x, weight, mean, invstd, training, gx, gweight, gbias); });
}

void batch_norm_frozen_backward_cpu(const Tensor& gy, const Tensor& weight, const Tensor& invstd, Tensor& gx) {
  dispatch_float(gy.dtype(), "batch_norm_frozen_backward",
                 [&]<class T>() { frozen_backward<T>(gy, weight, invstd, gx); });
}

const bool kAdded = batch_norm_kernels.add(DeviceKind::kCpu, batch_norm_cpu) &&
                    batch_norm_backward_kernels.add(DeviceKind::kCpu, batch_norm_backward_cpu) &&
                    batch_norm_frozen_backward_kernels.add(DeviceKind::kCpu, batch_norm_frozen_backward_cpu);

}  // namespace

}  // namespace tessera::ops
