// tessera_bench sps-methods: the comparison of EffSeg's Table 2, with measured time and memory. Five ways to process
// some cells of R grids of S x S cells, each as section 3.2 of the paper describes it. The step is that of a processing
// module: a 3x3 convolution and a linear layer, each with ReLU, F channels, for N_A active cells.
//
//   Dense           keeps the map [R, S, S, F]; computes all cells
//   Pointwise       keeps [N_A, F]; two linear layers, no neighbours
//   Neighbors       keeps the active features with their 8 neighbours [N_A, 9, F], filled again as the features change
//   SparseOnDense   keeps the map [R, S, S, F]; computes the active cells, and what it computes goes into a new map
//   SPS             keeps A [N_A, F], P [N_P, F] and the index map; only A becomes a new one
//
// All but Pointwise compute the same values at the active cells; how far they differ is part of the table.
#include "bench/sps_methods.h"

#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "autograd/arrange.h"
#include "autograd/conv2d.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "autograd/sps.h"
#include "ops/arrange.h"
#include "tensor/allocator.h"
#include "tensor/random.h"

namespace tessera::bench {

Tensor contour_mask(const ops::SpsStructure& structure, i64 k) {
  Tensor scores = Tensor::empty({structure.active()});
  for (i64 a = 0; a < structure.active(); ++a) {
    const i64* cell = structure.cells.data<i64>() + a * ops::kSpsColumns;
    Random disc(static_cast<u64>(cell[ops::kSpsRoi]));  // the same in every stage
    const double x = disc.uniform(0.4, 0.6), y = disc.uniform(0.4, 0.6), radius = disc.uniform(0.25, 0.4);
    const double size = static_cast<double>(structure.size());
    const double dx = (static_cast<double>(cell[ops::kSpsX]) + 0.5) / size - x;
    const double dy = (static_cast<double>(cell[ops::kSpsY]) + 0.5) / size - y;
    scores.data<float>()[a] = static_cast<float>(-std::abs(std::hypot(dx, dy) - radius));
  }
  return ops::sps_top_mask(scores, k);
}

namespace {

constexpr i64 kFirstSize = 14, kStages = 3, kFewestRuns = 3;
constexpr i64 kFirstWidth = 128;  // of stage 1; halved from stage to stage

struct Weights {
  Var conv, conv_bias, first, first_bias, second, second_bias;  // first: what Pointwise has in place of the convolution
};

struct Method {
  std::string name;
  bool neighbours, any_operation;  // what it gives access to: Table 2
  std::vector<Tensor> keeps;       // floating ones are features and receive a gradient
  std::function<Var(const std::vector<Var>& kept)> step;
  std::function<Tensor(const Tensor& y)> active;  // the active cells of what `step` gives
};

std::vector<Method> methods_of(const ops::SpsStructure& s, const Tensor& active, const Tensor& passive,
                               const Weights& w) {
  const i64 R = s.rois(), S = s.size(), F = active.dim(1);
  const Tensor cells = s.index_map.reshape({R * S * S}), rows = ops::sps_rows(s);
  const Tensor map = ops::gather_rows(ops::concat({active, passive}, 0), cells).reshape({R, S, S, F});
  const auto relu_linear = [w](const Var& x) { return relu(linear(x, w.second, w.second_bias)); };
  const auto in_map = [=](const Tensor& y) { return ops::gather_rows(y.reshape({R * S * S, F}), rows); };
  const auto as_is = [](const Tensor& y) { return y; };

  // For SparseOnDense: the active cells as they were gathered, any other cell at its own place in the map.
  ops::SpsStructure dense = s;
  dense.passive = R * S * S;
  dense.index_map = s.index_map.clone();
  i64* id = dense.index_map.data<i64>();
  for (i64 i = 0; i < R * S * S; ++i)
    if (id[i] >= s.active()) id[i] = s.active() + i;

  // For Neighbors: where the positions of each active cell are found among A, P and the zero row.
  const Tensor ids = ops::sps_neighbours(s, 1).ids.reshape({s.active() * ops::kSpsPositions});
  Tensor positions = Tensor::empty(ids.shape(), DType::kI64);
  std::ranges::copy(ids.span<i32>(), positions.data<i64>());
  const Tensor features = ops::concat({active, passive, Tensor::zeros({1, F})}, 0);

  return {
      {"Dense",
       true,
       true,
       {map},
       [=](const std::vector<Var>& kept) {
         return relu_linear(conv2d(kept[0], w.conv, w.conv_bias, {.padding = 1, .activation = ops::Activation::kRelu}));
       },
       in_map},
      {"Pointwise",
       false,
       false,
       {active},
       [=](const std::vector<Var>& kept) { return relu_linear(relu(linear(kept[0], w.first, w.first_bias))); },
       as_is},
      {"Neighbors",
       true,
       false,
       {ops::gather_rows(features, positions).reshape({s.active(), ops::kSpsPositions * F})},
       [=](const std::vector<Var>& kept) {
         const Var centres = slice(kept[0], 1, 4 * F, 5 * F);  // what changed last is written to all its copies
         const Var all = concat({centres, Var(passive), Var(Tensor::zeros({1, F}))}, 0);
         const Var filled = reshape(gather_rows(all, positions), {s.active(), ops::kSpsPositions * F});
         return relu_linear(relu(linear(filled, reshape(w.conv, {F, ops::kSpsPositions * F}), w.conv_bias)));
       },
       as_is},
      {"SparseOnDense",
       true,
       true,
       {map},
       [=](const std::vector<Var>& kept) {
         const Var all = reshape(kept[0], {R * S * S, F});
         const Var y = sps_conv2d(ops::sps_neighbours(dense, 1), gather_rows(all, rows), all, w.conv, w.conv_bias,
                                  ops::Activation::kRelu);
         const Var next = sps_overwrite(kept[0], y, s);
         return sps_overwrite(next, relu_linear(gather_rows(reshape(next, {R * S * S, F}), rows)), s);
       },
       in_map},
      {"SPS",
       true,
       true,
       {active, passive, s.index_map, s.cells},
       [=](const std::vector<Var>& kept) {
         return relu_linear(
             sps_conv2d(ops::sps_neighbours(s, 1), kept[0], kept[1], w.conv, w.conv_bias, ops::Activation::kRelu));
       },
       as_is},
  };
}

struct Measured {
  size_t keeps = 0, forward_extra = 0, training_extra = 0;  // bytes: kept, and the most beside it
  double forward = 0, backward = 0;                         // seconds, medians
  double difference = 0;                                    // from SPS, relative to its largest value
};

double median(std::vector<double>& values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Measured measure(const Method& method, const Tensor& expected, double seconds) {
  using Clock = std::chrono::steady_clock;
  Measured measured;
  std::vector<Var> kept;
  for (const Tensor& tensor : method.keeps) {
    measured.keeps += tensor.bytes();
    kept.emplace_back(tensor, is_compute_float(tensor.dtype()));
  }
  Tensor gradient;
  {
    const NoGrad no_grad;
    const Tensor y = method.step(kept).value(), got = method.active(y);
    gradient = Tensor::full(y.shape(), 1e-3);
    double largest = 0, worst = 0;
    for (i64 i = 0; expected.defined() && i < expected.numel(); ++i) {
      const double want = static_cast<double>(expected.data<float>()[i]);
      worst = std::max(worst, std::abs(static_cast<double>(got.data<float>()[i]) - want));
      largest = std::max(largest, std::abs(want));
    }
    measured.difference = largest > 0 ? worst / largest : 0;
  }
  std::vector<double> forward, backward;
  const Clock::time_point begin = Clock::now();
  while (static_cast<i64>(forward.size()) < kFewestRuns || since(begin) < seconds) {
    const size_t before = memory_report().allocated;
    reset_peak();
    {
      const NoGrad no_grad;
      const Clock::time_point start = Clock::now();
      const Var y = method.step(kept);
      forward.push_back(since(start));
      measured.forward_extra = memory_report().peak - before;
    }
    reset_peak();
    const Var y = method.step(kept);
    const Clock::time_point start = Clock::now();
    y.backward(gradient);
    backward.push_back(since(start));
    measured.training_extra = memory_report().peak - before;
    for (Var& x : kept)
      if (x.requires_grad()) x.zero_grad();
  }
  measured.forward = median(forward);
  measured.backward = median(backward);
  return measured;
}

nlohmann::ordered_json run_stage(const SpsMethodsOptions& options, i64 stage, const ops::SpsStructure& structure) {
  const i64 F = kFirstWidth >> (stage - 1);
  Random random(static_cast<u64>(stage));
  const auto values = [&](const Shape& shape, double bound) {
    Tensor tensor = Tensor::empty(shape);
    random.fill_uniform(tensor, -bound, bound);
    return tensor;
  };
  const auto weight = [&](const Shape& shape) {
    return Var(values(shape, std::sqrt(6.0 / static_cast<double>(shape.numel() / shape[0]))), true);
  };
  const Weights weights{weight({F, 3, 3, F}), Var(values({F}, 0.1), true), weight({F, F}), Var(values({F}, 0.1), true),
                        weight({F, F}),       Var(values({F}, 0.1), true)};
  const std::vector<Method> methods =
      methods_of(structure, values({structure.active(), F}, 1), values({structure.passive, F}, 1), weights);
  Tensor expected;
  {
    const NoGrad no_grad;
    std::vector<Var> kept;
    for (const Tensor& tensor : methods.back().keeps) kept.emplace_back(tensor);
    expected = methods.back().step(kept).value();
  }

  fmt::print("stage {}: {} grids of {} x {} cells, {} active, {} passive features, {} channels, {} threads\n", stage,
             options.rois, structure.size(), structure.size(), structure.active(), structure.passive, F,
             omp_get_max_threads());
  fmt::print("{:<15}{:>12}{:>8}{:>10}{:>12}{:>10}{:>13}{:>10}{:>12}\n", "method", "neighbours", "any op", "keeps MB",
             "forward ms", "extra MB", "backward ms", "extra MB", "difference");
  nlohmann::ordered_json results = nlohmann::ordered_json::object();
  for (const Method& method : methods) {
    const Measured m = measure(method, method.neighbours ? expected : Tensor(), options.seconds);
    const auto mb = [](size_t bytes) { return static_cast<double>(bytes) / 1e6; };
    fmt::print("{:<15}{:>12}{:>8}{:>10.1f}{:>12.2f}{:>10.1f}{:>13.2f}{:>10.1f}{:>12}\n", method.name,
               method.neighbours ? "yes" : "no", method.any_operation ? "yes" : "no", mb(m.keeps), m.forward * 1e3,
               mb(m.forward_extra), m.backward * 1e3, mb(m.training_extra),
               method.neighbours ? fmt::format("{:.1e}", m.difference) : "-");
    results[method.name] = {{"neighbours", method.neighbours},
                            {"any_operation", method.any_operation},
                            {"keeps_bytes", m.keeps},
                            {"forward_ms", m.forward * 1e3},
                            {"forward_extra_bytes", m.forward_extra},
                            {"backward_ms", m.backward * 1e3},
                            {"training_extra_bytes", m.training_extra},
                            {"difference", m.difference}};
  }
  fmt::print("\n");
  return {{"size", structure.size()},
          {"channels", F},
          {"active", structure.active()},
          {"passive", structure.passive},
          {"methods", results}};
}

}  // namespace

nlohmann::ordered_json compare_sps_methods(const SpsMethodsOptions& options) {
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  const Tensor zeros = Tensor::zeros({options.rois}, DType::kI64);
  ops::SpsStructure structure = ops::sps_dense(kFirstSize, zeros, zeros);
  for (i64 stage = 1; stage <= kStages; ++stage) {
    structure = ops::sps_upsample(ops::sps_select(structure, contour_mask(structure, options.refined)).structure);
    stages.push_back(run_stage(options, stage, structure));
  }
  return {{"threads", omp_get_max_threads()}, {"stages", stages}};
}

}  // namespace tessera::bench
