// Losses with a sum per row in CUDA; formulas in ops/losses.h. Dice sums its rows through ops/cuda/reduce.h. Cross
// entropy has a warp per row, whose passes over the row after the first find it in the cache.
//
// Classes are not checked on the host here: a row whose class is outside [0, K) gets the loss NaN, and NaN as gradient.
#include "ops/cuda/block_reduce.h"
#include "ops/cuda/loss_reduction.h"
#include "ops/scalar/libm.h"

namespace tessera {

namespace {

using namespace cuda;

// --- Dice. What becomes of the two sums of a row is up to `store`.
struct DiceSum {
  using Value = scalar::DiceSums;
  __device__ static Value none() { return {0, 0}; }
  __device__ static Value of(Value a, Value b) { return {a.product + b.product, a.squares + b.squares}; }
};
struct LoadDice {
  const float *x, *t;
  struct Pair {
    float x, t;
  };
  __device__ Pair read(i64 at) const { return {x[at], t[at]}; }
  __device__ DiceSum::Value value(const Pair& pair, i64) const {
    const float s = scalar::logistic(scalar::Libm(), pair.x).p;
    return {s * pair.t, static_cast<double>(s * s) + pair.t * pair.t};
  }
};
template <class Loss>
struct StoreDiceLoss {
  double eps;
  Loss* losses;
  __device__ void operator()(i64 r, DiceSum::Value sums) const { losses[r] = static_cast<Loss>(sums.loss(eps)); }
};

i64 row_length(const Tensor& x) {
  return x.dim(0) > 0 ? x.numel() / x.dim(0) : 0;
}

template <class Store>
void reduce_dice(const Tensor& x, const Tensor& t, const Store& store) {
  reduce<DiceSum>({x.dim(0), row_length(x), 1}, x.device(), LoadDice{x.device_data<float>(), t.device_data<float>()},
                  store);
}

void dice_loss_cuda(const Tensor& x, const Tensor& t, double eps, Reduction reduction, Tensor& y) {
  if (reduction == Reduction::kNone) return reduce_dice(x, t, StoreDiceLoss<float>{eps, y.device_data<float>()});
  Tensor losses = Tensor::empty({x.dim(0)}, DType::kF64, x.device());
  reduce_dice(x, t, StoreDiceLoss<double>{eps, losses.device_data<double>()});
  reduce_losses(x.dim(0), reduction, LoadPart<double>{losses.device_data<double>()}, y);
}

using DiceSlopes = scalar::DiceSlopes<float>;
struct StoreDiceSlopes {
  Incoming gy;
  double eps;
  DiceSlopes* slopes;
  __device__ void operator()(i64 r, DiceSum::Value sums) const { slopes[r] = DiceSlopes::of(gy.of(r), sums, eps); }
};

__global__ void dice_loss_backward_kernel(i64 n, i64 P, const float* x, const float* t, const DiceSlopes* slopes,
                                          float* gx) {
  for (const i64 i : indices(n)) gx[i] = slopes[i / P].gradient(scalar::Libm(), x[i], t[i]);
}

void dice_loss_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& t, double eps, Reduction reduction,
                             Tensor& gx) {
  Tensor memory = Tensor::empty({x.dim(0), 2}, DType::kF32, x.device());
  auto* slopes = reinterpret_cast<DiceSlopes*>(memory.device_data<float>());
  reduce_dice(x, t, StoreDiceSlopes{Incoming(gy, x.dim(0), reduction), eps, slopes});
  launch<dice_loss_backward_kernel>(over(x.numel()), x.numel(), row_length(x), x.device_data<float>(),
                                    t.device_data<float>(), slopes, gx.device_data<float>());
}

__global__ void pairwise_dice_kernel(i64 n, i64 K, const double* mm, const double* tt, double eps, float* scores) {
  for (const i64 at : indices(n))
    scores[at] = static_cast<float>(scalar::dice_score(scores[at], mm[at / K] + tt[at % K], eps));
}

void pairwise_dice_cuda(const Tensor& m, const Tensor& targets, double eps, Tensor& scores) {
  const auto square_sums = [](const Tensor& x) {
    Tensor sums = Tensor::empty({x.dim(0)}, DType::kF64, x.device());
    reduce<DoubleSum>({x.dim(0), x.dim(1), 1}, x.device(), LoadSquare{x.device_data<float>()},
                      StorePart<double>{sums.device_data<double>()});
    return sums;
  };
  const Tensor mm = square_sums(m), tt = square_sums(targets);
  launch<pairwise_dice_kernel>(over(scores.numel()), scores.numel(), targets.dim(0), mm.device_data<double>(),
                               tt.device_data<double>(), eps, scores.device_data<float>());
}

// --- Cross entropy. x [R, K], a warp per row.
__device__ float log_sum_exp(const float* x, i64 K) {
  float largest = -INFINITY, sum = 0;
  for (i64 k = lane(); k < K; k += kWarp) largest = MaxOf::of(x[k], largest);
  largest = warp_max(largest);
  for (i64 k = lane(); k < K; k += kWarp) sum += std::exp(x[k] - largest);
  return largest + std::log(warp_sum(sum));
}

__global__ void cross_entropy_kernel(i64 R, i64 K, const float* x, const i64* classes, float* losses) {
  const i64 r = row_of_warp();
  if (r >= R) return;
  const float total = log_sum_exp(x + r * K, K);
  const i64 own = classes[r];
  if (lane() == 0) losses[r] = 0 <= own && own < K ? total - x[r * K + own] : NAN;
}

__global__ void cross_entropy_backward_kernel(i64 R, i64 K, Incoming gy, const float* x, const i64* classes,
                                              float* gx) {
  const i64 r = row_of_warp();
  if (r >= R) return;
  const float total = log_sum_exp(x + r * K, K);
  const i64 own = classes[r];
  const float g = 0 <= own && own < K ? gy.of(r) : NAN;
  for (i64 k = lane(); k < K; k += kWarp) gx[r * K + k] = g * std::exp(x[r * K + k] - total) - (k == own ? g : 0.0f);
}

void cross_entropy_cuda(const Tensor& x, const Tensor& classes, Reduction reduction, Tensor& y) {
  const i64 R = x.dim(0), K = x.dim(1);
  Tensor losses = reduction == Reduction::kNone ? y : Tensor::empty({R}, DType::kF32, x.device());
  launch<cross_entropy_kernel>(warp_per_row(R), R, K, x.device_data<float>(), classes.device_data<i64>(),
                               losses.device_data<float>());
  if (reduction != Reduction::kNone) reduce_losses(R, reduction, LoadValue<float>{losses.device_data<float>()}, y);
}

void cross_entropy_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& classes, Reduction reduction,
                                 Tensor& gx) {
  const i64 R = x.dim(0), K = x.dim(1);
  launch<cross_entropy_backward_kernel>(warp_per_row(R), R, K, Incoming(gy, R, reduction), x.device_data<float>(),
                                        classes.device_data<i64>(), gx.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::dice_loss_kernels.add(kDevice, dice_loss_cuda),
    ops::dice_loss_backward_kernels.add(kDevice, dice_loss_backward_cuda),
    ops::cross_entropy_kernels.add(kDevice, cross_entropy_cuda),
    ops::cross_entropy_backward_kernels.add(kDevice, cross_entropy_backward_cuda),
    ops::pairwise_dice_kernels.add(kDevice, pairwise_dice_cuda),
};

}  // namespace

}  // namespace tessera
