// The 3x3 convolution on structure-preserving sparsity (SPS): 40,000 active cells of 60 grids of 112 x 112, as in the
// last stage of EffSeg. The cells that stay active are drawn at random in each stage, or lie on contours, as those of
// objects do.
#include <fmt/core.h>

#include "bench/bench.h"
#include "bench/sps_methods.h"
#include "ops/matmul.h"
#include "ops/sps_conv2d.h"

namespace tessera::bench {

namespace {

ops::SpsStructure structure(bool contours) {
  const Tensor zeros = Tensor::zeros({60}, DType::kI64, device());
  ops::SpsStructure grids = ops::sps_dense(14, zeros, zeros);
  while (grids.size() < 112) {
    const Tensor mask =
        contours ? contour_mask(grids, 10000) : ops::sps_top_mask(random_tensor({grids.active()}), 10000);
    grids = ops::sps_upsample(ops::sps_select(grids, mask).structure);
  }
  return grids;
}

// The neighbours are looked up in each forward call, as in the reference.
Call convolution(i64 features, i64 dilation, bool backward, bool contours) {
  const ops::SpsStructure grids = structure(contours);
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
  for (const bool contours : {false, true})
    for (const i64 features : {128, 64, 32})
      for (const i64 dilation : {1, 3, 5})
        for (const bool backward : {false, true}) {
          const char* what = backward ? "backward" : "forward";
          Json peer = {{"op", "sps_conv"}, {"features", features}, {"dilation", dilation}, {"what", what}};
          if (contours) peer["contours"] = true;
          cases.push_back(
              {.group = contours ? "sps convolution, 40000 cells on contours" : "sps convolution, 40000 cells",
               .name = fmt::format("F {} dilation {} {}", features, dilation, what),
               .peer = peer,
               .make = [=] { return convolution(features, dilation, backward, contours); },
               .operations = (backward ? 2 : 1) * 2.0 * 40000 * 9 * static_cast<double>(features * features)});
        }
}

}  // namespace tessera::bench
