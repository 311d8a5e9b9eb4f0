// Losses on the CPU; ops/losses.h states the formulas, ops/cpu/simd/losses.cpp has the inner loops. Work is cut into
// blocks of a fixed size, each block's sum is taken in a fixed order, and the blocks are added in order, in double: the
// number of threads does not show in the results.
#include "ops/losses.h"

#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/losses.h"

namespace tessera::ops {

namespace {

constexpr i64 kBlock = 2048;        // values that are summed in the loop's own precision, or nearly so
constexpr i64 kGrain = 4 * kBlock;  // values per thread below which starting threads costs more than it gives

template <class T>
double block_sum(const T* values, i64 count) {
  constexpr i64 kLanes = 8;
  double lanes[kLanes] = {};
  i64 i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (i64 lane = 0; lane < kLanes; ++lane) lanes[lane] += values[i + lane];
  for (; i < count; ++i) lanes[0] += values[i];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

// The reduced value of `count` losses whose sum is known.
template <class T>
void store_reduced(double sum, i64 count, Reduction reduction, Tensor& y) {
  if (reduction == Reduction::kMean) sum = count > 0 ? sum / static_cast<double>(count) : 0;
  *y.data<T>() = static_cast<T>(sum);
}

// d(result)/d(each loss) * gy when there is one result; the losses' own gy otherwise.
template <class T>
T gradient_of(const Tensor& gy, i64 index, i64 count, Reduction reduction) {
  if (reduction == Reduction::kNone) return gy.data<T>()[index];
  return reduction == Reduction::kSum ? *gy.data<T>() : *gy.data<T>() / static_cast<T>(count);
}

// --- Elementwise losses
template <const simd::FloatTables<simd::LossLoop>& kLoops>
void element_loss_cpu(const Tensor& x_, const Tensor& t_, const LossParams& params, Reduction reduction, Tensor& y_) {
  dispatch_float(x_.dtype(), "losses", [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const scalar::LossNumbers<T> k = loss_numbers<T>(params);
    const T *x = x_.data<T>(), *t = t_.data<T>();
    const i64 count = x_.numel(), blocks = (count + kBlock - 1) / kBlock;
    if (reduction == Reduction::kNone) {
      T* y = y_.data<T>();
      parallel_ranges(count, kGrain,
                      [&](i64 begin, i64 end) { loop(x + begin, t + begin, k, y + begin, end - begin); });
      return;
    }
    std::vector<double> sums(blocks);
    parallel_ranges(blocks, kGrain / kBlock, [&](i64 first, i64 last) {
      T losses[kBlock];
      for (i64 b = first; b < last; ++b) {
        const i64 begin = b * kBlock, n = std::min(kBlock, count - begin);
        loop(x + begin, t + begin, k, losses, n);
        sums[b] = block_sum(losses, n);
      }
    });
    double sum = 0;
    for (double s : sums) sum += s;
    store_reduced<T>(sum, count, reduction, y_);
  });
}

template <const simd::FloatTables<simd::LossSlopeLoop>& kLoops>
void element_loss_backward_cpu(const Tensor& gy_, const Tensor& x_, const Tensor& t_, const LossParams& params,
                               Reduction reduction, Tensor& gx_) {
  dispatch_float(x_.dtype(), "losses", [&]<class T>() {
    const auto loop = kLoops.template get<T>();
    const scalar::LossNumbers<T> k = loss_numbers<T>(params);
    const T *gy = gy_.data<T>(), *x = x_.data<T>(), *t = t_.data<T>();
    T* gx = gx_.data<T>();
    const bool each = reduction == Reduction::kNone;
    const T scale = each ? T(1) : gradient_of<T>(gy_, 0, x_.numel(), reduction);
    parallel_ranges(x_.numel(), kGrain, [&](i64 begin, i64 end) {
      loop(x + begin, t + begin, k, scale, gx + begin, end - begin);
      if (each)
        for (i64 i = begin; i < end; ++i) gx[i] *= gy[i];
    });
  });
}

// --- Dice. A row is cut into blocks, so that few long rows use all threads.
struct Rows {
  explicit Rows(const Tensor& x) : R(x.dim(0)), P(R > 0 ? x.numel() / R : 0), blocks((P + kBlock - 1) / kBlock) {}
  i64 R, P, blocks;
};

template <class T>
std::vector<scalar::DiceSums> dice_terms(const Rows& rows, const T* x, const T* t) {
  const auto loop = simd::dice_sums.get<T>();
  std::vector<double> sums(rows.R * rows.blocks * 3);
  parallel_ranges(rows.R * rows.blocks, kGrain / kBlock, [&](i64 first, i64 last) {
    for (i64 b = first; b < last; ++b) {
      const i64 begin = b / rows.blocks * rows.P + b % rows.blocks * kBlock;
      loop(x + begin, t + begin, std::min(kBlock, rows.P - b % rows.blocks * kBlock), &sums[3 * b]);
    }
  });
  std::vector<scalar::DiceSums> terms(rows.R);
  for (i64 b = 0; b < rows.R * rows.blocks; ++b) {
    terms[b / rows.blocks].product += sums[3 * b];
    terms[b / rows.blocks].squares += sums[3 * b + 1] + sums[3 * b + 2];
  }
  return terms;
}

void dice_loss_cpu(const Tensor& x, const Tensor& t, double eps, Reduction reduction, Tensor& y) {
  dispatch_float(x.dtype(), "dice_loss", [&]<class T>() {
    const Rows rows(x);
    const std::vector<scalar::DiceSums> terms = dice_terms(rows, x.data<T>(), t.data<T>());
    double sum = 0;
    for (i64 r = 0; r < rows.R; ++r) {
      const double loss = terms[r].loss(eps);
      sum += loss;
      if (reduction == Reduction::kNone) y.data<T>()[r] = static_cast<T>(loss);
    }
    if (reduction != Reduction::kNone) store_reduced<T>(sum, rows.R, reduction, y);
  });
}

void dice_loss_backward_cpu(const Tensor& gy, const Tensor& x_, const Tensor& t_, double eps, Reduction reduction,
                            Tensor& gx_) {
  dispatch_float(x_.dtype(), "dice_loss_backward", [&]<class T>() {
    const auto loop = simd::dice_slope.get<T>();
    const Rows rows(x_);
    const T *x = x_.data<T>(), *t = t_.data<T>();
    T* gx = gx_.data<T>();
    const std::vector<scalar::DiceSums> terms = dice_terms(rows, x, t);
    parallel_ranges(rows.R * rows.blocks, kGrain / kBlock, [&](i64 first, i64 last) {
      for (i64 b = first; b < last; ++b) {
        const i64 r = b / rows.blocks, begin = r * rows.P + b % rows.blocks * kBlock;
        loop(x + begin, t + begin, scalar::DiceSlopes<T>::of(gradient_of<T>(gy, r, rows.R, reduction), terms[r], eps),
             gx + begin, std::min(kBlock, rows.P - b % rows.blocks * kBlock));
      }
    });
  });
}

void pairwise_dice_cpu(const Tensor& m, const Tensor& targets, double eps, Tensor& scores) {
  dispatch_float(m.dtype(), "pairwise_dice", [&]<class T>() {
    const auto square_sums = [](const Tensor& x) {
      const Rows rows(x);
      std::vector<double> sums(rows.R);
      parallel_ranges(rows.R, 1, [&](i64 first, i64 last) {
        T squares[kBlock];
        for (i64 r = first; r < last; ++r)
          for (i64 begin = 0; begin < rows.P; begin += kBlock) {
            const i64 n = std::min(kBlock, rows.P - begin);
            const T* values = x.data<T>() + r * rows.P + begin;
            for (i64 i = 0; i < n; ++i) squares[i] = values[i] * values[i];
            sums[r] += block_sum(squares, n);
          }
      });
      return sums;
    };
    const std::vector<double> mm = square_sums(m), tt = square_sums(targets);
    const i64 Q = m.dim(0), K = targets.dim(0);
    for (i64 q = 0; q < Q; ++q)
      for (i64 k = 0; k < K; ++k) {
        T& score = scores.data<T>()[q * K + k];
        score = static_cast<T>(scalar::dice_score(score, mm[q] + tt[k], eps));
      }
  });
}

// --- Cross entropy
void check_classes(const char* op, const Tensor& classes, i64 K) {
  for (i64 r = 0; r < classes.numel(); ++r)
    TESSERA_CHECK(classes.data<i64>()[r] >= 0 && classes.data<i64>()[r] < K,
                  "{}: row {} has class {}, the logits have {} classes", op, r, classes.data<i64>()[r], K);
}

void cross_entropy_cpu(const Tensor& x_, const Tensor& classes, Reduction reduction, Tensor& y) {
  const i64 R = x_.dim(0), K = x_.dim(1);
  check_classes("cross_entropy", classes, K);
  dispatch_float(x_.dtype(), "cross_entropy", [&]<class T>() {
    const auto log_sum_exp = simd::log_sum_exp.get<T>();
    const T* x = x_.data<T>();
    std::vector<T> losses(R);
    parallel_ranges(R, std::max<i64>(1, kGrain / std::max<i64>(K, 1)), [&](i64 first, i64 last) {
      for (i64 r = first; r < last; ++r) {
        log_sum_exp(x + r * K, K, &losses[r]);
        losses[r] -= x[r * K + classes.data<i64>()[r]];
      }
    });
    double sum = 0;
    for (T loss : losses) sum += loss;
    if (reduction == Reduction::kNone)
      std::copy(losses.begin(), losses.end(), y.data<T>());
    else
      store_reduced<T>(sum, R, reduction, y);
  });
}

void cross_entropy_backward_cpu(const Tensor& gy, const Tensor& x_, const Tensor& classes, Reduction reduction,
                                Tensor& gx_) {
  const i64 R = x_.dim(0), K = x_.dim(1);
  check_classes("cross_entropy_backward", classes, K);
  dispatch_float(x_.dtype(), "cross_entropy_backward", [&]<class T>() {
    const auto log_sum_exp = simd::log_sum_exp.get<T>();
    const auto scaled_exp = simd::scaled_exp.get<T>();
    const T* x = x_.data<T>();
    T* gx = gx_.data<T>();
    parallel_ranges(R, std::max<i64>(1, kGrain / std::max<i64>(K, 1)), [&](i64 first, i64 last) {
      for (i64 r = first; r < last; ++r) {
        const T g = gradient_of<T>(gy, r, R, reduction);
        T shift = 0;
        log_sum_exp(x + r * K, K, &shift);
        scaled_exp(x + r * K, shift, g, gx + r * K, K);
        gx[r * K + classes.data<i64>()[r]] -= g;
      }
    });
  });
}

const bool kAdded[] = {
    scalar::ElementLosses::each([]<class Loss>(Loss) {
      element_loss_kernels<Loss>.add(DeviceKind::kCpu, element_loss_cpu<simd::loss<Loss>>);
      element_loss_backward_kernels<Loss>.add(DeviceKind::kCpu, element_loss_backward_cpu<simd::loss_slope<Loss>>);
    }),
    dice_loss_kernels.add(DeviceKind::kCpu, dice_loss_cpu),
    dice_loss_backward_kernels.add(DeviceKind::kCpu, dice_loss_backward_cpu),
    cross_entropy_kernels.add(DeviceKind::kCpu, cross_entropy_cpu),
    cross_entropy_backward_kernels.add(DeviceKind::kCpu, cross_entropy_backward_cpu),
    pairwise_dice_kernels.add(DeviceKind::kCpu, pairwise_dice_cpu),
};

}  // namespace

}  // namespace tessera::ops
