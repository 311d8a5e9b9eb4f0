// tessera_bench mask-heads: EffSeg's head, sparse and with all cells active, in time and memory. The maps are those of
// a picture of 800 x 1333, the weights are initial ones, so the cells with the highest refinement logits lie scattered.
#include "bench/mask_heads.h"

#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bench/bench.h"
#include "bench/measure.h"
#include "cli/chart.h"
#include "models/effseg/head.h"
#include "nn/profile.h"
#include "tensor/allocator.h"
#include "tensor/file.h"
#include "tensor/random.h"

namespace tessera::bench {

namespace {

constexpr ImageSize kPicture = {800, 1333};
constexpr i64 kChannels = 256, kUsualRois = 60;

struct Input {
  std::vector<Var> maps;
  roi_heads::Rois rois;
  roi_heads::RoiTargets targets;
};

// Boxes of 20 to 600 pixels, uniform in the logarithm; each object is the left half of its box's picture.
Input input_of(i64 rois) {
  Random random(3);
  Input input;
  for (i64 stride = 4; stride <= 32; stride *= 2)
    input.maps.emplace_back(
        random_tensor({1, (kPicture.height + stride - 1) / stride, (kPicture.width + stride - 1) / stride, kChannels}),
        true);
  std::vector<float> boxes;
  for (i64 r = 0; r < rois; ++r) {
    const double w = 20 * std::pow(30, random.uniform()), h = w * random.uniform(0.7, 1.4);
    const double x = random.uniform(0, static_cast<double>(kPicture.width) - w / 2);
    const double y = random.uniform(0, static_cast<double>(kPicture.height) - h / 2);
    for (const double side : {x, y, x + w, y + h}) boxes.push_back(static_cast<float>(side));
  }
  Tensor mask = Tensor::zeros({1, kPicture.height, kPicture.width, 1});
  for (i64 i = 0; i < mask.numel(); ++i) mask.data<float>()[i] = i % kPicture.width < kPicture.width / 2;
  const Tensor zeros = Tensor::zeros({rois}, DType::kI64);
  input.rois = {Var(Tensor::from(boxes, {rois, 4}), true), Var(random_tensor({rois, kChannels}), true), zeros, zeros};
  input.targets = {mask, zeros, rois};
  return input;
}

struct Measured {
  i64 rois = 0, refinements = 0;
  double flops = 0;                            // as the papers count
  double forward = 0, step = 0;                // seconds, the fastest run: masks; losses and backward pass
  double forward_memory = 0, step_memory = 0;  // MB, the most beside weights and inputs
};

// The fastest of some calls, and the most memory.
void measure(int runs, double& seconds, double& megabytes, const std::function<void()>& call) {
  seconds = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    const size_t before = memory_report().allocated;
    reset_peak();
    seconds = std::min(seconds, take_sample(call, 0).seconds(omp_get_max_threads()));
    megabytes = static_cast<double>(memory_report().peak - before) / 1e6;
  }
}

Measured measure(const effseg::HeadConfig& config, i64 rois, int runs, bool training) {
  Measured m{.rois = rois, .refinements = config.refinements};
  Random random(1);
  effseg::EffSegHead head(config, kChannels, random);
  const Input input = input_of(rois);
  const auto masks = [&] { head.probabilities(input.maps, input.rois, kPicture); };
  m.flops = static_cast<double>(nn::profile(head, masks).front().work.published);
  measure(runs, m.forward, m.forward_memory, masks);
  if (!training) return m;
  measure(runs, m.step, m.step_memory, [&] {
    Losses{head.losses(input.maps, input.rois, input.targets, kPicture, {})}.total().backward();
    head.zero_grad();
    for (Var map : input.maps) map.zero_grad();
  });
  return m;
}

// A line for each number, `x` says which.
Series series(const std::string& name, const std::vector<Measured>& all, i64 Measured::*x, double Measured::*y) {
  Series line{name, {}, {}};
  for (const Measured& m : all) {
    line.x.push_back(static_cast<double>(m.*x));
    line.y.push_back(m.*y);
  }
  return line;
}

}  // namespace

nlohmann::ordered_json measure_mask_heads(const MaskHeadOptions& options) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  fmt::print("{:<8}{:>6}{:>8}{:>10}{:>12}{:>9}{:>12}{:>10}   {} threads\n", "head", "RoIs", "k", "GFLOPs", "masks s",
             "MB", "training s", "MB", omp_get_max_threads());
  const auto add = [&](std::vector<Measured>& all, const char* name, const effseg::HeadConfig& config, i64 rois) {
    const bool sparse = config.processing != effseg::Processing::kDenseSfm;
    const Measured& m = all.emplace_back(measure(config, rois, options.runs, sparse));
    fmt::print("{:<8}{:>6}{:>8}{:>10.2f}{:>12.3f}{:>9.0f}{:>12.3f}{:>10.0f}\n", name, m.rois,
               sparse ? m.refinements : 0, m.flops / 1e9, m.forward, m.forward_memory, m.step, m.step_memory);
    std::fflush(stdout);
    list.push_back({{"head", name},
                    {"rois", m.rois},
                    {"refinements", m.refinements},
                    {"flops", m.flops},
                    {"forward_seconds", m.forward},
                    {"forward_mb", m.forward_memory},
                    {"training_seconds", m.step},
                    {"training_mb", m.step_memory}});
  };
  std::vector<Measured> by_rois, dense, by_refinements;
  for (const i64 rois : options.rois) add(by_rois, "sparse", {}, rois);
  for (const i64 rois : options.rois)
    if (rois <= options.dense_rois)
      add(dense, "dense", {.processing = effseg::Processing::kDenseSfm, .project_maps = true}, rois);
  for (const i64 k : options.refinements) add(by_refinements, "sparse", {.refinements = k}, kUsualRois);
  if (options.plot.empty()) return list;

  const auto lines = [](const std::vector<Measured>& all, i64 Measured::*x, double Measured::*masks,
                        double Measured::*training) {
    return std::vector{series("masks", all, x, masks), series("training", all, x, training)};
  };
  Chart time{"Seconds, 10,000 refinements", "RoIs",
             lines(by_rois, &Measured::rois, &Measured::forward, &Measured::step)};
  time.series.push_back(series("masks, dense", dense, &Measured::rois, &Measured::forward));
  Chart memory{"MB, 10,000 refinements", "RoIs",
               lines(by_rois, &Measured::rois, &Measured::forward_memory, &Measured::step_memory)};
  memory.series.push_back(series("masks, dense", dense, &Measured::rois, &Measured::forward_memory));
  const Chart k_time{"Seconds, 60 RoIs", "refinements",
                     lines(by_refinements, &Measured::refinements, &Measured::forward, &Measured::step)};
  const Chart k_memory{
      "MB, 60 RoIs", "refinements",
      lines(by_refinements, &Measured::refinements, &Measured::forward_memory, &Measured::step_memory)};
  write_file(options.plot, to_svg_file({time, memory, k_time, k_memory}));
  return list;
}

}  // namespace tessera::bench
