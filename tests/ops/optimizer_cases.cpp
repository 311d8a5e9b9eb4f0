#include <fmt/ranges.h>

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

// The same with f(entry, at), which changes one element of each of the `entry_size` tensors of an entry, or nothing at
// all when the scale is NaN.
template <class F>
std::function<References(const Tensors&)> element_by_element(size_t entry_size, double scale, F f) {
  return [=](const Tensors& inputs) {
    References t{};
    for (const Tensor& x : inputs) t.push_back(x ? x.clone() : Tensor());
    for (size_t first = 0; first < inputs.size() && !std::isnan(scale); first += entry_size)
      for (i64 i = 0; i < t[first].numel(); ++i) {
        std::vector<double*> at;
        for (size_t k = first; k < first + entry_size; ++k) at.push_back(t[k] ? t[k].data<double>() + i : nullptr);
        f(first / entry_size, at);
      }
    std::erase_if(t, [](const Tensor& x) { return !x; });
    return t;
  };
}

// Lists of parameters: none, one without elements, small ones beside one of several blocks, more than any launch holds.
std::vector<std::pair<std::string, std::vector<Shape>>> lists() {
  std::vector<Shape> many;
  for (i64 i = 0; i < 300; ++i) many.push_back({i % 7, 1 + i % 3});
  return {{"no tensor", {}},
          {"one element", {{1}}},
          {"no element", {{0}}},
          {"mixed sizes", {{7, 3}, {0}, {70001}, {}, {4096}, {4097}}},
          {"300 tensors", many}};
}

std::vector<Input> inputs_for(const std::vector<Shape>& shapes, const std::vector<std::function<Input(Shape)>>& makes) {
  std::vector<Input> inputs;
  for (const Shape& shape : shapes)
    for (const auto& make : makes) inputs.push_back(make(shape));
  return inputs;
}

Input anything(const Shape& shape) {
  return uniform(shape);
}

Device device_of(const Tensors& t) {
  return t.empty() ? Device{} : t[0].device();
}

// The scale of the cases: 1 where none is given, one that clips, and one that refuses.
constexpr double kNone = INFINITY;
Tensor scale_tensor(double scale, const Tensors& t) {
  return scale == kNone ? Tensor() : Tensor::full({1}, scale, DType::kF64, device_of(t));
}
std::string scale_name(double scale) {
  return scale == kNone ? "no scale" : std::isnan(scale) ? "refused" : fmt::format("scale {}", scale);
}

void adamw(Tensors& t, const std::vector<ops::AdamWParams>& params, double scale) {
  std::vector<ops::AdamWUpdate> updates;
  for (size_t k = 0; k < t.size(); k += 4)
    updates.push_back({t[k], t[k + 1], t[k + 2], t[k + 3], params[k / 4 % params.size()]});
  ops::adamw_step(updates, scale_tensor(scale, t));
}

void sgd(Tensors& t, const std::vector<ops::SgdParams>& params, double scale) {
  std::vector<ops::SgdUpdate> updates;
  for (size_t k = 0; k < t.size(); k += 3) updates.push_back({t[k], t[k + 1], t[k + 2], params[k / 3 % params.size()]});
  ops::sgd_step(updates, scale_tensor(scale, t));
}

void lerp(Tensors& t, double scale) {
  std::vector<ops::LerpUpdate> updates;
  for (size_t k = 0; k < t.size(); k += 2) updates.push_back({t[k], t[k + 1]});
  ops::lerp_into(updates, 0.3, scale_tensor(scale, t));
}

}  // namespace

OP_CASES(optimizer) {
  const auto positive = [](const Shape& shape) { return uniform(shape, 0, 1); };
  // Each tensor of a list has parameters of its own.
  const std::vector<ops::AdamWParams> adamw_params = {
      {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.05, .step = 1},
      {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-2, .weight_decay = 0, .step = 7},
      {.lr = 0.2, .beta1 = 0, .beta2 = 0.5, .eps = 1e-3, .weight_decay = 0.1, .step = 2}};
  const std::vector<ops::SgdParams> sgd_params = {{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05},
                                                  {.lr = 0.02, .momentum = 0.5, .weight_decay = 0}};
  for (const auto& [list, shapes] : lists())
    for (const double scale : {kNone, 0.37, double{NAN}}) {
      const std::string name = fmt::format("{}, {}", list, scale_name(scale));
      const double factor = scale == kNone ? 1 : scale;
      add({.op = "adamw_step",
           .name = name,
           .in = inputs_for(shapes, {anything, anything, anything, positive}),
           .run = on_clones([=](Tensors& t) { adamw(t, adamw_params, scale); }),
           .reference = element_by_element(4, factor, [=](size_t entry, const std::vector<double*>& at) {
             const ops::AdamWParams& p = adamw_params[entry % adamw_params.size()];
             double &value = *at[0], &m = *at[2], &v = *at[3];
             const double t = static_cast<double>(p.step), gradient = factor * *at[1];
             value -= p.lr * p.weight_decay * value;
             m = p.beta1 * m + (1 - p.beta1) * gradient;
             v = p.beta2 * v + (1 - p.beta2) * gradient * gradient;
             value -=
                 p.lr / (1 - std::pow(p.beta1, t)) * m / (std::sqrt(v) / std::sqrt(1 - std::pow(p.beta2, t)) + p.eps);
           })});
      add({.op = "lerp_into",
           .name = name,
           .in = inputs_for(shapes, {anything, anything}),
           .run = on_clones([=](Tensors& t) { lerp(t, scale); }),
           .reference =
               element_by_element(2, std::isnan(scale) ? scale : 1,
                                  [](size_t, const std::vector<double*>& at) { *at[0] += 0.3 * (*at[1] - *at[0]); })});
      for (const bool first : {false, true})
        for (const bool momentum : {false, true}) {
          std::vector<ops::SgdParams> params = sgd_params;
          for (ops::SgdParams& p : params) {
            p.first_step = first;
            if (!momentum) p.momentum = 0;
          }
          const auto buffer = [=](const Shape& shape) {
            return !momentum ? absent() : first && !std::isnan(scale) ? constant(shape, NAN) : uniform(shape);
          };
          add({.op = "sgd_step",
               .name = fmt::format("{}{}{}", name, momentum ? ", momentum" : "", first ? ", first step" : ""),
               .in = inputs_for(shapes, {anything, anything, buffer}),
               .run = on_clones([=](Tensors& t) { sgd(t, params, scale); }),
               .reference = element_by_element(3, factor, [=](size_t entry, const std::vector<double*>& at) {
                 const ops::SgdParams& p = params[entry % params.size()];
                 double d = factor * *at[1] + p.weight_decay * *at[0];
                 if (p.momentum != 0) d = *at[2] = p.first_step ? d : p.momentum * *at[2] + d;
                 *at[0] -= p.lr * d;
               })});
        }
    }

  // norm and scale
  struct Clip {
    double square, max_norm;
    std::vector<double> watched;
  };
  for (const Clip& c : {Clip{9, 0, {}}, Clip{9, 1, {}}, Clip{9, 4, {}}, Clip{0, 1, {}}, Clip{NAN, 1, {}},
                        Clip{INFINITY, 1, {}}, Clip{INFINITY, 0, {}}, Clip{9, 1, std::vector<double>(100, 1e30)},
                        Clip{9, 0, {1, 2, NAN}}, Clip{9, 1, {-INFINITY}}}) {
    const i64 count = static_cast<i64>(c.watched.size());
    add({.op = "clip_grad_norm",
         .name = fmt::format("{} max {} watched {}", c.square, c.max_norm,
                             count > 9 ? "many" : fmt::format("[{}]", fmt::join(c.watched, ", "))),
         .in = {count == 0 ? absent() : values({count}, c.watched), uniform({1})},
         .run =
             [=](const Vars& v) {
               const Tensor sum = Tensor::full({1}, c.square, DType::kF64, v[1].value().device());
               const auto [norm, scale] = ops::clip_grad_norm(sum, c.max_norm, v[0] ? v[0].value() : Tensor());
               return Outputs{Var(norm.to(v[1].value().dtype())), Var(scale.to(v[1].value().dtype()))};
             },
         .reference =
             [=](const Tensors&) {
               const double norm = std::sqrt(c.square);
               double scale = c.max_norm == 0 || norm + 1e-6 < c.max_norm ? 1 : c.max_norm / (norm + 1e-6);
               if (!std::isfinite(norm)) scale = NAN;
               for (const double value : c.watched)
                 if (!std::isfinite(value)) scale = NAN;
               return References{Tensor::full({1}, norm, DType::kF64), Tensor::full({1}, scale, DType::kF64)};
             }});
  }
}

}  // namespace tessera::test
