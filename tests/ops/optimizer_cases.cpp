#include <cmath>

#include "ops/optimizer.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// Runs `update` on clones of the inputs and returns them.
template <class F>
std::function<Outputs(const Vars&)> on_clones(F update) {
  return [=](const Vars& v) {
    Tensors t;
    for (const Var& x : v) t.push_back(x ? x.value().clone() : Tensor());
    update(t);
    Outputs outputs{};
    for (const Tensor& x : t)
      if (x) outputs.emplace_back(x);
    return outputs;
  };
}

// The same with f(i), which changes element i of the clones.
template <class F>
std::function<References(const Tensors&)> element_by_element(F f) {
  return [=](const Tensors& inputs) {
    References t{};
    std::vector<double*> at;
    for (const Tensor& x : inputs)
      if (x) t.push_back(x.clone()), at.push_back(t.back().data<double>());
    for (i64 i = 0; i < inputs[0].numel(); ++i) {
      f(at);
      for (double*& x : at) ++x;
    }
    return t;
  };
}

}  // namespace

OP_CASES(optimizer) {
  for (const Shape& shape : {Shape{0}, Shape{1}, Shape{7, 3}, Shape{70001}}) {
    const std::string size = fmt::format("{}", shape);
    for (const i64 step : {1, 7}) {
      const ops::AdamWParams p{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.05, .step = step};
      add({.op = "adamw_step",
           .name = fmt::format("{} step {}", size, step),
           .in = {uniform(shape), uniform(shape), uniform(shape), uniform(shape, 0, 1)},
           .run = on_clones([=](Tensors& t) { ops::adamw_step(t[0], t[1], t[2], t[3], p); }),
           .reference = element_by_element([=](const std::vector<double*>& at) {
             double &value = *at[0], &gradient = *at[1], &m = *at[2], &v = *at[3];
             const double t = static_cast<double>(p.step);
             value -= p.lr * p.weight_decay * value;
             m = p.beta1 * m + (1 - p.beta1) * gradient;
             v = p.beta2 * v + (1 - p.beta2) * gradient * gradient;
             value -=
                 p.lr / (1 - std::pow(p.beta1, t)) * m / (std::sqrt(v) / std::sqrt(1 - std::pow(p.beta2, t)) + p.eps);
           })});
    }
    for (const bool first : {false, true})
      for (const double momentum : {0.0, 0.9}) {
        const ops::SgdParams p{.lr = 0.1, .momentum = momentum, .weight_decay = 0.05, .first_step = first};
        add({.op = "sgd_step",
             .name = fmt::format("{} momentum {}{}", size, momentum, first ? " first step" : ""),
             .in = {uniform(shape), uniform(shape),
                    momentum == 0 ? absent()
                    : first       ? constant(shape, NAN)
                                  : uniform(shape)},
             .run = on_clones([=](Tensors& t) { ops::sgd_step(t[0], t[1], t[2], p); }),
             .reference = element_by_element([=](const std::vector<double*>& at) {
               double d = *at[1] + p.weight_decay * *at[0];
               if (p.momentum != 0) d = *at[2] = p.first_step ? d : p.momentum * *at[2] + d;
               *at[0] -= p.lr * d;
             })});
      }
    add({.op = "scale_into",
         .name = size,
         .in = {uniform(shape)},
         .run = on_clones([](Tensors& t) { ops::scale_into(t[0], 0.3); }),
         .reference = element_by_element([](const std::vector<double*>& at) { *at[0] *= 0.3; })});
    add({.op = "lerp_into",
         .name = size,
         .in = {uniform(shape), uniform(shape)},
         .run = on_clones([](Tensors& t) { ops::lerp_into(t[0], t[1], 0.3); }),
         .reference = element_by_element([](const std::vector<double*>& at) { *at[0] += 0.3 * (*at[1] - *at[0]); })});
  }
}

}  // namespace tessera::test
