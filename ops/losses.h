// Losses and the gradients of their first argument. Logits are raw network outputs; s(x) = 1 / (1 + exp(-x)).
//
// Elementwise, x and t of one shape and dtype (f32 or f64; soft targets are allowed), structs of ops/scalar/losses.h:
//   binary_cross_entropy_with_logits   max(x, 0) - x t + log(1 + exp(-|x|))
//   sigmoid_focal_loss                 w q^gamma ce, ce as above, q = s(x) (1 - t) + (1 - s(x)) t, and the weight w is
//                                      alpha t + (1 - alpha) (1 - t), or 1 when alpha < 0 (Lin et al. 2017, eq. 5)
//   l1_loss                            |x - t|; its gradient is 0 where x = t
//   smooth_l1_loss                     d^2 / (2 beta) for |d| < beta, else |d| - beta / 2, d = x - t
//   quality_focal_loss                 (s(x) - t)^2 ce (Li et al. 2020, eq. 3 with beta = 2)
// Per row:
//   dice_loss      x, t [R, ...]       1 - 2 sum s t / (sum s^2 + sum t^2 + eps), s = s(x) (Milletari et al. 2016)
//   cross_entropy  x [R, K], i64 [R]   log sum_k exp(x[r, k]) - x[r, class[r]]
//
// Reduction: kNone gives the values above, kSum and kMean one number of shape []. Sums are accumulated in double in an
// order that does not depend on the threads. The mean of nothing is 0, and its gradient is empty.
// gy has the shape of the result. NaN in x gives NaN. Errors: shapes and dtypes that differ; negative gamma, beta, eps;
// a class outside [0, K), naming the row (on devices beside the CPU its loss is NaN). Source: PyTorch and torchvision.
#pragma once

#include "ops/kernel_table.h"
#include "ops/scalar/losses.h"

namespace tessera::ops {

enum class Reduction { kNone, kSum, kMean };

struct LossParams {  // what the elementwise losses need; each reads its own
  double alpha = 0.25, gamma = 2;
  double beta = 1;
};

using ElementLossTable =
    KernelTable<void(const Tensor& x, const Tensor& t, const LossParams& params, Reduction reduction, Tensor& y)>;
using ElementLossBackwardTable = KernelTable<void(const Tensor& gy, const Tensor& x, const Tensor& t,
                                                  const LossParams& params, Reduction reduction, Tensor& gx)>;

// The tables of the elementwise losses, by their struct in ops/scalar/losses.h.
template <class Loss>
inline constinit ElementLossTable element_loss_kernels{Loss::kName};
template <class Loss>
inline constinit ElementLossBackwardTable element_loss_backward_kernels{kBackwardName<Loss>.data()};

Tensor element_loss(const ElementLossTable& kernels, const Tensor& x, const Tensor& t, const LossParams& params,
                    Reduction reduction);
Tensor element_loss_backward(const ElementLossBackwardTable& kernels, const Tensor& gy, const Tensor& x,
                             const Tensor& t, const LossParams& params, Reduction reduction);

// What the kernels compute with.
template <class T>
scalar::LossNumbers<T> loss_numbers(const LossParams& params) {
  return {.positive = static_cast<T>(params.alpha < 0 ? 1 : params.alpha),
          .negative = static_cast<T>(params.alpha < 0 ? 1 : 1 - params.alpha),
          .gamma = static_cast<T>(params.gamma),
          .beta = static_cast<T>(params.beta)};
}

Tensor dice_loss(const Tensor& x, const Tensor& t, double eps, Reduction reduction);
Tensor dice_loss_backward(const Tensor& gy, const Tensor& x, const Tensor& t, double eps, Reduction reduction);
Tensor cross_entropy(const Tensor& x, const Tensor& classes, Reduction reduction);
Tensor cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& classes, Reduction reduction);

// The dice score of every row of logits [Q, P] with every row of targets [K, P] -> [Q, K], for matching:
//   2 sum_p m[q,p] t[k,p] / (sum_p m[q,p]^2 + sum_p t[k,p]^2 + eps),  m = s(logits).   It has no gradient.
Tensor pairwise_dice(const Tensor& logits, const Tensor& targets, double eps);

using DiceLossKernel = void(const Tensor& x, const Tensor& t, double eps, Reduction reduction, Tensor& y);
using DiceLossBackwardKernel = void(const Tensor& gy, const Tensor& x, const Tensor& t, double eps, Reduction reduction,
                                    Tensor& gx);
using CrossEntropyKernel = void(const Tensor& x, const Tensor& classes, Reduction reduction, Tensor& y);
using CrossEntropyBackwardKernel = void(const Tensor& gy, const Tensor& x, const Tensor& classes, Reduction reduction,
                                        Tensor& gx);
// scores [Q, K] holds the sums of m t on entry; m [Q, P], targets [K, P]
using PairwiseDiceKernel = void(const Tensor& m, const Tensor& targets, double eps, Tensor& scores);

inline constinit KernelTable<DiceLossKernel> dice_loss_kernels{"dice_loss"};
inline constinit KernelTable<DiceLossBackwardKernel> dice_loss_backward_kernels{"dice_loss_backward"};
inline constinit KernelTable<CrossEntropyKernel> cross_entropy_kernels{"cross_entropy"};
inline constinit KernelTable<CrossEntropyBackwardKernel> cross_entropy_backward_kernels{"cross_entropy_backward"};
inline constinit KernelTable<PairwiseDiceKernel> pairwise_dice_kernels{"pairwise_dice"};

}  // namespace tessera::ops
