// Losses in CUDA; formulas in ops/losses.h. A single loss is computed in f32 where it is needed, never stored to be
// summed: the sums go through ops/cuda/reduce.h, which has their mapping to threads and adds in double. So a reduced
// loss reads x and t once, and memory limits it (8 bytes per value; 12 backward). Cross entropy has a warp per row,
// whose passes over the row after the first find it in the cache.
//
// Classes are not checked on the host here: a row whose class is outside [0, K) gets the loss NaN, and NaN as gradient.
#include "ops/cuda/block_reduce.h"
#include "ops/cuda/reduce.h"
#include "ops/losses.h"

namespace tessera {

namespace {

using namespace cuda;
using ops::LossParams;
using ops::Reduction;

// What the elementwise losses need.
struct Numbers {
  explicit Numbers(const LossParams& params)
      : positive(static_cast<float>(params.alpha < 0 ? 1 : params.alpha)),
        negative(static_cast<float>(params.alpha < 0 ? 1 : 1 - params.alpha)),
        gamma(static_cast<float>(params.gamma)),
        beta(static_cast<float>(params.beta)) {}
  float positive, negative, gamma, beta;
};

// Both sigmoids from one exponential: p = s(x), n = s(-x) = 1 - p with all its digits.
struct Logistic {
  __device__ explicit Logistic(float x) {
    const float e = std::exp(-std::abs(x)), s = 1 / (1 + e);
    p = x < 0 ? e * s : s;
    n = x < 0 ? s : e * s;
  }
  float p, n;
};

__device__ float cross_entropy_of(float x, float t) {
  return ((x < 0 ? 0.0f : x) - x * t) + std::log1p(std::exp(-std::abs(x)));
}

struct Bce {
  __device__ static float loss(float x, float t, const Numbers&) { return cross_entropy_of(x, t); }
  __device__ static float slope(float x, float t, const Numbers&) {
    const Logistic s(x);
    return s.p * (1 - t) - s.n * t;
  }
};

struct Focal {
  __device__ static float power(float q, float gamma) {
    constexpr float kTiny = 1e-37f;  // q = 0 stays finite for exponents below 0; it meets a factor 0
    if (gamma == 0) return 1;
    if (gamma == 1) return q;
    if (gamma == 2) return q * q;
    return std::pow(q < kTiny ? kTiny : q, gamma);
  }
  __device__ static float loss(float x, float t, const Numbers& k) {
    const Logistic s(x);
    const float q = s.p * (1 - t) + s.n * t, weight = k.positive * t + k.negative * (1 - t);
    return weight * power(q, k.gamma) * cross_entropy_of(x, t);
  }
  __device__ static float slope(float x, float t, const Numbers& k) {
    const Logistic s(x);
    const float q = s.p * (1 - t) + s.n * t, weight = k.positive * t + k.negative * (1 - t);
    const float dq = s.p * s.n * (1 - 2 * t), dce = s.p * (1 - t) - s.n * t;
    return weight * (k.gamma * power(q, k.gamma - 1) * dq * cross_entropy_of(x, t) + power(q, k.gamma) * dce);
  }
};

struct L1 {
  __device__ static float loss(float x, float t, const Numbers&) { return std::abs(x - t); }
  __device__ static float slope(float x, float t, const Numbers&) {
    const float d = x - t;
    return d > 0 ? 1.0f : d < 0 ? -1.0f : d * 0;  // NaN stays
  }
};

struct SmoothL1 {
  __device__ static float loss(float x, float t, const Numbers& k) {
    const float d = std::abs(x - t);
    return d < k.beta ? 0.5f * d * d / k.beta : d - 0.5f * k.beta;
  }
  __device__ static float slope(float x, float t, const Numbers& k) {
    const float d = x - t;
    return std::abs(d) < k.beta ? d / k.beta : L1::slope(x, t, k);
  }
};

// --- Reductions of losses, and the gradients that come back through them.
struct StoreReduced {
  double divisor;
  float* y;
  __device__ void operator()(i64, double sum) const { *y = static_cast<float>(sum / divisor); }
};
double divisor_of(i64 count, Reduction reduction) {
  return reduction == Reduction::kMean ? static_cast<double>(std::max<i64>(count, 1)) : 1;
}

// y = the reduced value of `count` losses, load(i, i) each.
template <class Load>
void reduce_losses(i64 count, Reduction reduction, const Load& load, Tensor& y) {
  reduce<DoubleSum>({1, count, 1}, y.device(), load,
                    StoreReduced{divisor_of(count, reduction), y.device_data<float>()});
}

// The gradient of each loss.
struct Incoming {
  Incoming(const Tensor& gy, i64 count, Reduction reduction)
      : values(gy.device_data<float>()),
        step(reduction == Reduction::kNone ? 1 : 0),
        divisor(static_cast<float>(divisor_of(count, reduction))) {}
  __device__ float of(i64 i) const { return values[i * step] / divisor; }
  const float* values;
  i64 step;
  float divisor;
};

// --- Elementwise losses
template <class Loss>
struct LoadLoss {
  const float *x, *t;
  Numbers numbers;
  __device__ double operator()(i64 i, i64) const { return Loss::loss(x[i], t[i], numbers); }
};

template <class Loss>
__global__ void loss_kernel(i64 n, LoadLoss<Loss> load, float* y) {
  for (const i64 i : indices(n)) y[i] = static_cast<float>(load(i, i));
}

template <class Loss>
__global__ void loss_backward_kernel(i64 n, Incoming gy, const float* x, const float* t, Numbers numbers, float* gx) {
  for (const i64 i : indices(n)) gx[i] = gy.of(i) * Loss::slope(x[i], t[i], numbers);
}

template <class Loss>
void element_loss_cuda(const Tensor& x, const Tensor& t, const LossParams& params, Reduction reduction, Tensor& y) {
  const LoadLoss<Loss> load{x.device_data<float>(), t.device_data<float>(), Numbers(params)};
  if (reduction != Reduction::kNone) return reduce_losses(x.numel(), reduction, load, y);
  launch<loss_kernel<Loss>>(over(x.numel()), x.numel(), load, y.device_data<float>());
}

template <class Loss>
void element_loss_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& t, const LossParams& params,
                                Reduction reduction, Tensor& gx) {
  launch<loss_backward_kernel<Loss>>(over(x.numel()), x.numel(), Incoming(gy, x.numel(), reduction),
                                     x.device_data<float>(), t.device_data<float>(), Numbers(params),
                                     gx.device_data<float>());
}

// --- Dice. What becomes of the two sums of a row is up to `store`.
struct DiceSum {
  struct Value {
    double product, squares;  // sum s t and sum s^2 + sum t^2
  };
  __device__ static Value none() { return {0, 0}; }
  __device__ static Value of(Value a, Value b) { return {a.product + b.product, a.squares + b.squares}; }
};
struct LoadDice {
  const float *x, *t;
  __device__ DiceSum::Value operator()(i64 at, i64) const {
    const float s = Logistic(x[at]).p, target = t[at];
    return {s * target, static_cast<double>(s * s) + target * target};
  }
};
template <class Loss>
struct StoreDiceLoss {
  double eps;
  Loss* losses;
  __device__ void operator()(i64 r, DiceSum::Value sums) const {
    losses[r] = static_cast<Loss>(1 - 2 * sums.product / (sums.squares + eps));
  }
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

// With A = sum s t and D = sum s^2 + sum t^2 + eps:  d(loss)/ds = -2 t / D + 4 A s / D^2 = x t + y s.
struct StoreDiceSlopes {
  Incoming gy;
  double eps;
  float2* slopes;
  __device__ void operator()(i64 r, DiceSum::Value sums) const {
    const double g = gy.of(r), D = sums.squares + eps;
    slopes[r] = {static_cast<float>(-2 * g / D), static_cast<float>(4 * g * sums.product / (D * D))};
  }
};

__global__ void dice_loss_backward_kernel(i64 n, i64 P, const float* x, const float* t, const float2* slopes,
                                          float* gx) {
  for (const i64 i : indices(n)) {
    const float2 slope = slopes[i / P];
    const Logistic s(x[i]);
    gx[i] = (slope.x * t[i] + slope.y * s.p) * (s.p * s.n);
  }
}

void dice_loss_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& t, double eps, Reduction reduction,
                             Tensor& gx) {
  Tensor memory = Tensor::empty({x.dim(0), 2}, DType::kF32, x.device());
  float2* slopes = reinterpret_cast<float2*>(memory.device_data<float>());
  reduce_dice(x, t, StoreDiceSlopes{Incoming(gy, x.dim(0), reduction), eps, slopes});
  launch<dice_loss_backward_kernel>(over(x.numel()), x.numel(), row_length(x), x.device_data<float>(),
                                    t.device_data<float>(), slopes, gx.device_data<float>());
}

__global__ void pairwise_dice_kernel(i64 n, i64 K, const double* mm, const double* tt, double eps, float* scores) {
  for (const i64 at : indices(n)) scores[at] = static_cast<float>(2 * scores[at] / (mm[at / K] + tt[at % K] + eps));
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
constexpr int kThreads = 128;

__device__ i64 row_of_warp() {
  return (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
}
Launch warps(i64 R) {
  return {.grid = static_cast<unsigned>(ceil_div(R * kWarp, kThreads)), .block = kThreads};
}

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
  launch<cross_entropy_kernel>(warps(R), R, K, x.device_data<float>(), classes.device_data<i64>(),
                               losses.device_data<float>());
  if (reduction != Reduction::kNone) reduce_losses(R, reduction, LoadValue<float>{losses.device_data<float>()}, y);
}

void cross_entropy_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& classes, Reduction reduction,
                                 Tensor& gx) {
  const i64 R = x.dim(0), K = x.dim(1);
  launch<cross_entropy_backward_kernel>(warps(R), R, K, Incoming(gy, R, reduction), x.device_data<float>(),
                                        classes.device_data<i64>(), gx.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sigmoid_focal_loss_kernels.add(kDevice, element_loss_cuda<Focal>),
    ops::sigmoid_focal_loss_backward_kernels.add(kDevice, element_loss_backward_cuda<Focal>),
    ops::binary_cross_entropy_with_logits_kernels.add(kDevice, element_loss_cuda<Bce>),
    ops::binary_cross_entropy_with_logits_backward_kernels.add(kDevice, element_loss_backward_cuda<Bce>),
    ops::l1_loss_kernels.add(kDevice, element_loss_cuda<L1>),
    ops::l1_loss_backward_kernels.add(kDevice, element_loss_backward_cuda<L1>),
    ops::smooth_l1_loss_kernels.add(kDevice, element_loss_cuda<SmoothL1>),
    ops::smooth_l1_loss_backward_kernels.add(kDevice, element_loss_backward_cuda<SmoothL1>),
    ops::dice_loss_kernels.add(kDevice, dice_loss_cuda),
    ops::dice_loss_backward_kernels.add(kDevice, dice_loss_backward_cuda),
    ops::cross_entropy_kernels.add(kDevice, cross_entropy_cuda),
    ops::cross_entropy_backward_kernels.add(kDevice, cross_entropy_backward_cuda),
    ops::pairwise_dice_kernels.add(kDevice, pairwise_dice_cuda),
};

}  // namespace

}  // namespace tessera
