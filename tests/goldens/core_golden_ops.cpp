// Convolution, pooling, activations, losses and optimisers.
#include "autograd/conv2d.h"
#include "autograd/interpolate.h"
#include "autograd/losses.h"
#include "autograd/matmul.h"
#include "autograd/norm.h"
#include "autograd/pointwise.h"
#include "autograd/pool.h"
#include "autograd/softmax.h"
#include "ops/optimizer.h"
#include "tests/goldens/fill.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

using Call = GoldenCall;
using Results = std::vector<Var>;

// PyTorch's default reduction is 'mean'; the goldens' is 'none' unless told.
Reduction reduction(const Attributes& a) {
  const std::string name = a.text("reduction", "none");
  if (name == "none") return Reduction::kNone;
  if (name == "sum") return Reduction::kSum;
  TESSERA_CHECK(name == "mean", "reduction '{}' is not none, sum or mean", name);
  return Reduction::kMean;
}

ops::Pool2dParams pool_params(const Attributes& a) {
  TESSERA_CHECK(a.integer("dilation", 1) == 1, "pooling with dilation is not supported");
  const i64 kernel = a.integer("kernel_size");
  return {.kernel = kernel,
          .stride = a.integer("stride", kernel),
          .padding = a.integer("padding", 0),
          .ceil_mode = a.boolean("ceil_mode", false),
          .count_include_pad = a.boolean("count_include_pad", true)};
}

Results run_conv2d(Call& c) {
  const Attributes& a = c.attributes;
  return {conv2d(c["x"], c["w"], c.optional("b"),
                 {.stride = a.integer("stride", 1),
                  .padding = a.integer("padding", 0),
                  .dilation = a.integer("dilation", 1),
                  .groups = a.integer("groups", 1)})};
}

Results run_deform_conv2d(Call& c) {
  const Attributes& a = c.attributes;
  return {deform_conv2d(c["x"], c["offset"], c.optional("mask"), c["w"], c.optional("b"),
                        {.stride = a.integer("stride", 1),
                         .padding = a.integer("padding", 0),
                         .dilation = a.integer("dilation", 1),
                         .groups = a.integer("groups", 1),
                         .offset_groups = a.integer("offset_groups", 1)})};
}

Results run_batch_norm(Call& c) {
  const Attributes& a = c.attributes;
  Tensor mean = c["rm"].value().clone(), variance = c["rv"].value().clone();
  const Var y = batch_norm(c["x"], c["w"], c["b"], mean, variance, a.boolean("training"), a.number("momentum", 0.1),
                           a.number("eps", 1e-5));
  return {y, Var(mean), Var(variance)};
}

Results run_interpolate(Call& c) {
  const Attributes& a = c.attributes;
  const std::string mode = a.text("mode", "nearest");
  TESSERA_CHECK(mode == "nearest" || mode == "bilinear", "interpolation mode '{}' is not nearest or bilinear", mode);
  const std::vector<i64> size = a.pair("size");
  return {interpolate(c["x"], size[0], size[1],
                      mode == "nearest" ? ops::Interpolation::kNearest : ops::Interpolation::kBilinear,
                      a.boolean("align_corners", false))};
}

Results run_adaptive_avg_pool2d(Call& c) {
  const std::vector<i64> size = c.attributes.pair("output_size");
  return {adaptive_avg_pool2d(c["x"], size[0], size[1])};
}

// Calls step(parameter, gradient, number) once per row of the stored result and stacks the parameter after each step.
template <class Step>
Results optimise(Call& c, Step&& step) {
  Tensor parameter = c["p"].value().clone();
  TESSERA_CHECK(c.result.rank() >= 1, "the stored result has no dimension for the steps");
  Tensor all = Tensor::empty(c.result, parameter.dtype());
  for (i64 i = 0; i < c.result[0]; ++i) {
    step(parameter, fill(fmt::format("{}optim/g{}", c.prefix, i), parameter.shape()).to(parameter.device()), i);
    Tensor row = all.rows(i, i + 1).reshape(parameter.shape());
    row.copy_from(parameter.to_host());
  }
  return {Var(all)};
}

Results run_adamw(Call& c) {
  const Attributes& a = c.attributes;
  const std::vector<double> betas = a.numbers("betas");
  TESSERA_CHECK(betas.size() == 2, "betas has {} numbers, expected 2", betas.size());
  ops::AdamWParams params{.lr = a.number("lr"),
                          .beta1 = betas[0],
                          .beta2 = betas[1],
                          .eps = a.number("eps", 1e-8),
                          .weight_decay = a.number("weight_decay", 0.01),
                          .step = 1};
  Tensor m = Tensor::zeros(c["p"].shape(), DType::kF32, c["p"].value().device()), v = m.clone();
  return optimise(c, [&](Tensor& p, const Tensor& g, i64 i) {
    params.step = i + 1;
    std::vector<ops::AdamWUpdate> updates{{p, g, m, v, params}};
    ops::adamw_step(updates);
  });
}

Results run_sgd(Call& c) {
  const Attributes& a = c.attributes;
  ops::SgdParams params{.lr = a.number("lr"),
                        .momentum = a.number("momentum", 0),
                        .weight_decay = a.number("weight_decay", 0),
                        .first_step = true};
  Tensor buffer = Tensor::zeros(c["p"].shape(), DType::kF32, c["p"].value().device());
  return optimise(c, [&](Tensor& p, const Tensor& g, i64 i) {
    params.first_step = i == 0;
    std::vector<ops::SgdUpdate> updates{{p, g, buffer, params}};
    ops::sgd_step(updates);
  });
}

Results run_focal(Call& c) {
  const Attributes& a = c.attributes;
  return {sigmoid_focal_loss(c["x"], c["t"].value(), a.number("alpha", 0.25), a.number("gamma", 2), reduction(a))};
}

const std::set<std::string> kMap = {"x", "y"}, kConv = {"x", "w", "y"};

const bool kUnaryAdded = scalar::Unary::each([]<class F>(F) {
  add_golden_ops({{F::kName, {{}, [](Call& c) -> Results { return {unary<F>(c["x"])}; }}}});
});

const bool kAdded = add_golden_ops({
    {"conv2d", {kConv, run_conv2d}},
    {"deform_conv2d", {{"x", "offset", "mask", "w", "y"}, run_deform_conv2d}},
    {"linear", {{}, [](Call& c) -> Results { return {linear(c["x"], c["w"], c.optional("b"))}; }}},
    {"bmm", {{}, [](Call& c) -> Results { return {matmul(c["a"], c["b"])}; }}},
    {"batch_norm", {kMap, run_batch_norm}},
    {"max_pool2d", {kMap, [](Call& c) -> Results { return {max_pool2d(c["x"], pool_params(c.attributes))}; }}},
    {"avg_pool2d", {kMap, [](Call& c) -> Results { return {avg_pool2d(c["x"], pool_params(c.attributes))}; }}},
    {"adaptive_avg_pool2d", {kMap, run_adaptive_avg_pool2d}},
    {"interpolate", {kMap, run_interpolate}},
    {"softmax",
     {{}, [](Call& c) -> Results { return {softmax(c["x"], static_cast<int>(c.attributes.integer("dim")))}; }}},
    {"log_softmax",
     {{}, [](Call& c) -> Results { return {log_softmax(c["x"], static_cast<int>(c.attributes.integer("dim")))}; }}},
    {"sigmoid_focal_loss", {{}, run_focal}},
    {"binary_cross_entropy_with_logits",
     {{},
      [](Call& c) -> Results {
        return {binary_cross_entropy_with_logits(c["x"], c["t"].value(), reduction(c.attributes))};
      }}},
    {"dice_loss",
     {{},
      [](Call& c) -> Results {
        return {dice_loss(c["x"], c["t"].value(), c.attributes.number("eps"), reduction(c.attributes))};
      }}},
    {"cross_entropy",
     {{}, [](Call& c) -> Results { return {cross_entropy(c["x"], c["t"].value(), reduction(c.attributes))}; }}},
    {"l1_loss", {{}, [](Call& c) -> Results { return {l1_loss(c["x"], c["t"].value(), reduction(c.attributes))}; }}},
    {"smooth_l1_loss",
     {{},
      [](Call& c) -> Results {
        return {smooth_l1_loss(c["x"], c["t"].value(), c.attributes.number("beta", 1), reduction(c.attributes))};
      }}},
    {"adamw", {{}, run_adamw}},
    {"sgd", {{}, run_sgd}},
});

}  // namespace

}  // namespace tessera::goldens
