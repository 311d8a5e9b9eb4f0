#include "autograd/norm.h"

#include <numeric>
#include <vector>

#include "ops/arrange.h"
#include "ops/batch_norm.h"
#include "ops/group_norm.h"
#include "ops/layer_norm.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera {

namespace {

void add_all(Gradients& gradients, auto g) {
  gradients.add(0, std::move(g.x));
  gradients.add(1, std::move(g.weight));
  gradients.add(2, std::move(g.bias));
}

thread_local WholeBatch::AddUp whole_batch;  // empty: what is there is all

// [C]: sums over all but the channels, of x [..., C].
Tensor channel_sums(const Tensor& x) {
  std::vector<int> dims(static_cast<size_t>(x.rank()) - 1);
  std::iota(dims.begin(), dims.end(), 0);
  return ops::sum(x, dims);
}

// Mean and biased variance f32 [C] over all parts of the batch; of its rows, f32 [1], 1 / P and 1 / (P - 1), and 1
// where there is none, else 0.
struct BatchStatistics {
  Tensor mean, variance, share, unbiased_share, empty;
};

// The mean first, and around it the squares, so that nothing cancels:
//   mean = sum x / P,  variance = sum (x - mean)^2 / P,  each sum over this part and then over all
// P is known on the device alone; of fewer than two rows it counts as so many that nothing is divided by 0.
BatchStatistics statistics_of(const Tensor& part, const WholeBatch::AddUp& add_up) {
  const Tensor x = part.to(DType::kF32);
  const i64 C = x.dim(-1), P = x.numel() / C;
  const Tensor one = Tensor::full({1}, 1, DType::kF32, x.device());
  const Tensor sums = ops::concat({channel_sums(x), ops::mul_scalar(one, static_cast<double>(P))}, 0);
  add_up(sums);
  const Tensor count = sums.rows(C, C + 1), rows = ops::clamp_min(count, 1), mean = ops::div(sums.rows(0, C), rows);
  const Tensor centred = ops::sub(x, mean), squares = channel_sums(ops::mul(centred, centred));
  add_up(squares);
  return {mean, ops::div(squares, rows), ops::div(one, rows), ops::div(one, ops::clamp_min(ops::sub(rows, one), 1)),
          ops::relu(ops::sub(one, count))};
}

// running = (1 - momentum) running + momentum value, or as it was without any rows: whether there are some the host
// need not know.
void follow(const BatchStatistics& s, double momentum, Tensor& running_mean, Tensor& running_var) {
  const Tensor some = ops::add_scalar(ops::mul_scalar(s.empty, -1), 1);
  const Tensor kept = ops::add(ops::mul_scalar(some, 1 - momentum), s.empty), taken = ops::mul_scalar(some, momentum);
  const auto follow_one = [&](Tensor& running, const Tensor& value) {
    running.copy_from(ops::add(ops::mul(running, kept), ops::mul(value, taken)));
  };
  follow_one(running_mean, s.mean);
  follow_one(running_var, ops::mul(s.variance, ops::div(s.unbiased_share, s.share)));
}

// The formulas are those of ops/batch_norm.h with P and the sums of the whole batch; what is left of them for each part
// is what evaluation computes.
Var whole_batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
                     double momentum, double eps, const WholeBatch::AddUp& add_up) {
  BatchStatistics s = statistics_of(x.value(), add_up);
  follow(s, momentum, running_mean, running_var);
  const ops::BatchNormParams fixed{.training = false, .momentum = momentum, .eps = eps};
  const ops::BatchNormOutput output =
      ops::batch_norm(x.value(), weight.value(), bias.value(), s.mean, s.variance, fixed);
  return record("batch_norm", output.y, {x, weight, bias},
                [x = x.value(), weight = weight.value(), s, fixed, invstd = output.invstd, add_up](
                    const Tensor& gy, Gradients& gradients) mutable {
                  auto g = ops::batch_norm_backward(gy, x, weight, s.mean, invstd, false);
                  const i64 C = weight.dim(0);
                  const Tensor sums = ops::concat({g.bias, g.weight}, 0);
                  add_up(sums);
                  const Tensor shares = ops::mul(sums, s.share), scale = ops::mul(weight, invstd);
                  const Tensor shift = ops::mul(scale, shares.rows(0, C)),
                               slope = ops::mul(scale, shares.rows(C, 2 * C));
                  g.x = ops::sub(g.x, ops::batch_norm(x, slope, shift, s.mean, s.variance, fixed).y);
                  add_all(gradients, std::move(g));
                });
}

}  // namespace

WholeBatch::WholeBatch(AddUp add_up) {
  TESSERA_CHECK(!whole_batch, "WholeBatch: there is one already on this thread");
  whole_batch = std::move(add_up);
}

WholeBatch::~WholeBatch() {
  whole_batch = nullptr;
}

Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
               bool training, double momentum, double eps) {
  if (training && whole_batch)
    return whole_batch_norm(x, weight, bias, running_mean, running_var, momentum, eps, whole_batch);
  const ops::BatchNormOutput output =
      ops::batch_norm(x.value(), weight.value(), bias.value(), running_mean, running_var, {training, momentum, eps});
  const bool frozen = !training && !weight.requires_grad() && !bias.requires_grad();
  return record("batch_norm", output.y, {x, weight, bias},
                [x = frozen ? Tensor() : x.value(), weight = weight.value(), mean = output.mean, invstd = output.invstd,
                 training, frozen](const Tensor& gy, Gradients& gradients) {
                  if (frozen) return gradients.add(0, ops::batch_norm_frozen_backward(gy, weight, invstd));
                  add_all(gradients, ops::batch_norm_backward(gy, x, weight, mean, invstd, training));
                });
}

Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps) {
  const ops::LayerNormOutput output = ops::layer_norm(x.value(), weight.value(), bias.value(), eps);
  return record("layer_norm", output.y, {x, weight, bias},
                [x = x.value(), weight = weight.value(), mean = output.mean, rstd = output.rstd](const Tensor& gy,
                                                                                                 Gradients& gradients) {
                  add_all(gradients, ops::layer_norm_backward(gy, x, weight, mean, rstd));
                });
}

Var group_norm(const Var& x, i64 num_groups, const Var& weight, const Var& bias, double eps) {
  const ops::GroupNormOutput output = ops::group_norm(x.value(), num_groups, weight.value(), bias.value(), eps);
  return record("group_norm", output.y, {x, weight, bias},
                [x = x.value(), weight = weight.value(), mean = output.mean, rstd = output.rstd](const Tensor& gy,
                                                                                                 Gradients& gradients) {
                  add_all(gradients, ops::group_norm_backward(gy, x, weight, mean, rstd));
                });
}

}  // namespace tessera
