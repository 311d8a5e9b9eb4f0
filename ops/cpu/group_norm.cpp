// Group normalisation on the CPU; ops/group_norm.h states the formulas, ops/cpu/simd/group_norm.cpp has the loops. The
// channels are innermost, so the sums of a group come from those of its channels, taken over chunks of rows whose size
// depends on C alone. Chunks and channels are combined in order, in double: the result does not depend on the number of
// threads. With the sums known, y and gx are a line per channel; that pass goes through the chunks backwards, since the
// last ones are still in the cache.
#include "ops/cpu/group_norm.h"

#include <cmath>
#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/group_norm.h"

namespace tessera::cpu {

namespace {

using ops::GroupNormDims;

struct Chunks {  // the rows of all samples; no chunk holds rows of two
  explicit Chunks(const GroupNormDims& dims)
      : P(dims.P),
        C(dims.C),
        rows(std::clamp<i64>(65536 / std::max<i64>(dims.C, 1), 8, 256)),
        of_sample((dims.P + rows - 1) / rows),
        count(dims.N * of_sample) {}
  i64 sample(i64 k) const { return k / of_sample; }
  i64 begin(i64 k) const { return k % of_sample * rows; }
  i64 length(i64 k) const { return std::min(rows, P - begin(k)); }
  i64 offset(i64 k) const { return (sample(k) * P + begin(k)) * C; }  // in elements
  i64 P, C, rows, of_sample, count;
};

template <class T>
T value_or(const Tensor& vector, i64 c, T absent) {
  return vector.defined() ? vector.data<T>()[c] : absent;
}

// Moments of the groups of one sample from [mean, squares about it] of each channel of each chunk: the squares about
// the group's mean are those about the parts' means, and the squares of the distances between the means.
template <class T>
void combine(const GroupNormDims& dims, const Chunks& chunks, i64 n, const T* partial, double eps, T* mean, T* rstd,
             T* variance) {
  const double count = static_cast<double>(dims.P * dims.group());
  const i64 first = n * chunks.of_sample, last = first + chunks.of_sample;
  for (i64 g = 0; g < dims.G; ++g) {
    const i64 begin = g * dims.group(), end = begin + dims.group();
    double centre = 0, squares = 0;
    for (i64 k = first; k < last; ++k) {
      double sum = 0;
      for (i64 c = begin; c < end; ++c) sum += partial[k * 2 * dims.C + c];
      centre += sum * static_cast<double>(chunks.length(k));
    }
    centre /= count;
    for (i64 k = first; k < last; ++k) {
      const T *m = partial + k * 2 * dims.C, *s = m + dims.C;
      double between = 0;
      for (i64 c = begin; c < end; ++c) {
        squares += s[c];
        between += (m[c] - centre) * (m[c] - centre);
      }
      squares += between * static_cast<double>(chunks.length(k));
    }
    mean[n * dims.G + g] = static_cast<T>(centre);
    rstd[n * dims.G + g] = static_cast<T>(1 / std::sqrt(squares / count + eps));
    if (variance) variance[n * dims.G + g] = static_cast<T>(squares / count);
  }
}

}  // namespace

void group_moments(const GroupNormDims& dims, const Tensor& x_, double eps, Tensor& mean, Tensor& rstd,
                   Tensor& variance) {
  dispatch_float(x_.dtype(), OpScope::current(), [&]<class T>() {
    const Chunks chunks(dims);
    const i64 C = dims.C;
    const T* x = x_.data<T>();
    std::vector<T> partial(static_cast<size_t>(chunks.count * 2 * C));
    const auto moments = simd::column_moments.get<T>();
    parallel_ranges(chunks.count, 1, [&](i64 first, i64 last) {
      for (i64 k = first; k < last; ++k) {
        T* m = partial.data() + k * 2 * C;
        moments(x + chunks.offset(k), chunks.length(k), C, m, m + C);
      }
    });
    for (i64 n = 0; n < dims.N; ++n)
      combine(dims, chunks, n, partial.data(), eps, mean.data<T>(), rstd.data<T>(),
              variance ? variance.data<T>() : nullptr);
  });
}

void normalise(const GroupNormDims& dims, const Tensor& x_, const Tensor& weight, const Tensor& bias,
               const Tensor& mean_, const Tensor& rstd_, Tensor& y_) {
  dispatch_float(x_.dtype(), OpScope::current(), [&]<class T>() {
    const Chunks chunks(dims);
    const i64 C = dims.C;
    const T *x = x_.data<T>(), *mean = mean_.data<T>(), *rstd = rstd_.data<T>();
    T* y = y_.data<T>();
    std::vector<T> lines(static_cast<size_t>(dims.N * 3 * C));  // of each sample: mean, scale and bias per channel
    for (i64 n = 0; n < dims.N; ++n) {
      T *m = lines.data() + n * 3 * C, *scale = m + C, *shift = scale + C;
      for (i64 c = 0; c < C; ++c) {
        const i64 group = n * dims.G + c / dims.group();
        m[c] = mean[group];
        scale[c] = rstd[group] * value_or<T>(weight, c, 1);
        shift[c] = value_or<T>(bias, c, 0);
      }
    }
    const auto normalise = simd::normalise.get<T>();
    parallel_ranges(chunks.count, 1, [&](i64 first, i64 last) {
      for (i64 k = last - 1; k >= first; --k) {
        const T* m = lines.data() + chunks.sample(k) * 3 * C;
        normalise(x + chunks.offset(k), m, m + C, m + 2 * C, chunks.length(k), C, y + chunks.offset(k));
      }
    });
  });
}

void group_norm_gradients(const GroupNormDims& dims, const Tensor& gy_, const Tensor& x_, const Tensor& weight,
                          const Tensor& mean_, const Tensor& rstd_, Tensor& gweight, Tensor& gbias, Tensor& gx_) {
  dispatch_float(x_.dtype(), OpScope::current(), [&]<class T>() {
    const Chunks chunks(dims);
    const i64 C = dims.C;
    const T *gy = gy_.data<T>(), *x = x_.data<T>(), *mean = mean_.data<T>(), *rstd = rstd_.data<T>();
    std::vector<T> lines(static_cast<size_t>(dims.N * 4 * C));  // of each sample: mean, scale, shift, slope per channel
    for (i64 n = 0; n < dims.N; ++n)
      for (i64 c = 0; c < C; ++c) lines[n * 4 * C + c] = mean[n * dims.G + c / dims.group()];

    std::vector<T> partial(static_cast<size_t>(chunks.count * 2 * C));
    const auto products = simd::column_products.get<T>();
    parallel_ranges(chunks.count, 1, [&](i64 first, i64 last) {
      for (i64 k = first; k < last; ++k) {
        T* sums = partial.data() + k * 2 * C;
        products(gy + chunks.offset(k), x + chunks.offset(k), lines.data() + chunks.sample(k) * 4 * C, chunks.length(k),
                 C, sums, sums + C);
      }
    });

    std::vector<double> sums(static_cast<size_t>(2 * C)), total(static_cast<size_t>(2 * C));
    for (i64 n = 0; n < dims.N; ++n) {
      std::fill(sums.begin(), sums.end(), 0);
      for (i64 k = n * chunks.of_sample; k < (n + 1) * chunks.of_sample; ++k)
        for (i64 c = 0; c < 2 * C; ++c) sums[c] += partial[k * 2 * C + c];
      T *scale = lines.data() + n * 4 * C + C, *shift = scale + C, *slope = shift + C;
      for (i64 g = 0; g < dims.G; ++g) {
        const double rate = rstd[n * dims.G + g], count = static_cast<double>(dims.P * dims.group());
        double sum = 0, product = 0;
        for (i64 c = g * dims.group(); c < (g + 1) * dims.group(); ++c) {
          const double w = value_or<T>(weight, c, 1);
          sum += w * sums[c];
          product += w * sums[C + c];
          total[c] += sums[C + c] * rate;
          total[C + c] += sums[c];
        }
        for (i64 c = g * dims.group(); c < (g + 1) * dims.group(); ++c) {
          scale[c] = static_cast<T>(rate * value_or<T>(weight, c, 1));
          shift[c] = static_cast<T>(rate * sum / count);
          slope[c] = static_cast<T>(rate * rate * rate * product / count);
        }
      }
    }
    for (i64 c = 0; c < C; ++c) {
      gweight.data<T>()[c] = static_cast<T>(total[c]);
      gbias.data<T>()[c] = static_cast<T>(total[C + c]);
    }

    if (!gx_) return;
    T* gx = gx_.data<T>();
    const auto normalise = simd::normalise_backward.get<T>();
    parallel_ranges(chunks.count, 1, [&](i64 first, i64 last) {
      for (i64 k = last - 1; k >= first; --k) {
        const T* m = lines.data() + chunks.sample(k) * 4 * C;
        const i64 at = chunks.offset(k);
        normalise(gy + at, x + at, m, m + C, m + 2 * C, m + 3 * C, chunks.length(k), C, gx + at);
      }
    });
  });
}

namespace {

void group_norm_cpu(const GroupNormDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                    Tensor& mean, Tensor& rstd, Tensor& y) {
  Tensor none;
  group_moments(dims, x, eps, mean, rstd, none);
  normalise(dims, x, weight, bias, mean, rstd, y);
}

const bool kAdded = ops::group_norm_kernels.add(DeviceKind::kCpu, group_norm_cpu) &&
                    ops::group_norm_backward_kernels.add(DeviceKind::kCpu, group_norm_gradients);

}  // namespace

}  // namespace tessera::cpu
