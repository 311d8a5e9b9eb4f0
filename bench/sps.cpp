// The 3x3 convolution on structure-preserving sparsity (SPS): 40,000 active cells of 60 grids of 112 x 112, as in the
// last stage of EffSeg. The cells that stay active are drawn at random in each stage.
#include <fmt/core.h>

#include "bench/bench.h"
#include "ops/matmul.h"
#include "ops/sps_conv2d.h"

namespace tessera::bench {

namespace {

ops::SpsStructure structure() {
  const Tensor zeros = Tensor::zeros({60}, DType::kI64, device());
  ops::SpsStructure grids = ops::sps_dense(14, zeros, zeros);
  while (grids.size() < 112) {
    const Tensor mask = ops::sps_top_mask(random_tensor({grids.active()}), 10000);
    grids = ops::sps_upsample(ops::sps_select(grids, mask).structure);
  }
  return grids;
}

// The neighbours are looked up in each forward call, as in the reference.
Call convolution(i64 features, i64 dilation, bool backward) {
  const ops::SpsStructure grids = structure();
  const Tensor active = random_tensor({grids.active(), features}), passive = random_tensor({grids.passive, features});
  const Tensor weight = random_tensor({features, 3, 3, features}), bias = random_tensor({features});
  if (!backward) return [=] { ops::sps_conv2d(ops::sps_neighbours(grids, dilation), active, passive, weight, bias); };
  return [=, neighbours = ops::sps_neighbours(grids, dilation), gy = random_tensor({grids.active(), features})] {
    ops::sps_conv2d_backward(neighbours, gy, active, passive, weight);
    ops::column_sum(gy);
  };
}

}  // namespace

void sps_cases(Cases& cases) {
  for (const i64 features : {128, 64, 32})
    for (const i64 dilation : {1, 3, 5})
      for (const bool backward : {false, true}) {
        const char* what = backward ? "backward" : "forward";
        cases.push_back(
            {.group = "sps convolution, 40000 cells",
             .name = fmt::format("F {} dilation {} {}", features, dilation, what),
             .peer = {{"op", "sps_conv"}, {"features", features}, {"dilation", dilation}, {"what", what}},
             .make = [=] { return convolution(features, dilation, backward); },
             .operations = (backward ? 2 : 1) * 2.0 * 40000 * 9 * static_cast<double>(features * features)});
      }
}

}  // namespace tessera::bench
