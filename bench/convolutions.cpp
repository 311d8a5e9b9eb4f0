// Convolutions: every distinct one of ResNet-50, the widest of SparseInst, the depthwise ones of MobileNetV2.
#include <fmt/core.h>

#include "bench/bench.h"
#include "ops/conv2d.h"

namespace tessera::bench {

namespace {

struct Conv {
  i64 in, out, size, kernel, stride, groups;
  int times;  // how often ResNet-50 has it; 0: another network's
};

// At 640 x 640.
constexpr Conv kConvs[] = {{3, 64, 640, 7, 2, 1, 1},      {64, 64, 160, 1, 1, 1, 1},    {256, 64, 160, 1, 1, 1, 2},
                           {64, 64, 160, 3, 1, 1, 3},     {64, 256, 160, 1, 1, 1, 4},   {256, 128, 160, 1, 1, 1, 1},
                           {128, 128, 160, 3, 2, 1, 1},   {512, 128, 80, 1, 1, 1, 3},   {128, 128, 80, 3, 1, 1, 3},
                           {128, 512, 80, 1, 1, 1, 4},    {256, 512, 160, 1, 2, 1, 1},  {512, 256, 80, 1, 1, 1, 1},
                           {256, 256, 80, 3, 2, 1, 1},    {1024, 256, 40, 1, 1, 1, 5},  {256, 256, 40, 3, 1, 1, 5},
                           {256, 1024, 40, 1, 1, 1, 6},   {512, 1024, 80, 1, 2, 1, 1},  {1024, 512, 40, 1, 1, 1, 1},
                           {512, 512, 40, 3, 2, 1, 1},    {2048, 512, 20, 1, 1, 1, 2},  {512, 512, 20, 3, 1, 1, 2},
                           {512, 2048, 20, 1, 1, 1, 3},   {1024, 2048, 40, 1, 2, 1, 1}, {256, 256, 80, 3, 1, 1, 0},
                           {768, 256, 80, 1, 1, 1, 0},    {256, 400, 80, 3, 1, 4, 0},   {32, 32, 208, 3, 1, 32, 0},
                           {144, 144, 104, 3, 1, 144, 0}, {192, 192, 52, 3, 1, 192, 0}, {576, 576, 26, 3, 1, 576, 0},
                           {960, 960, 13, 3, 1, 960, 0}};

// Inference packs the weight once; direct: without Winograd's algorithm.
enum class Pass { kInference, kDirect, kForward, kInputGradient, kWeightGradient };
constexpr const char* kPassNames[] = {"inference", "direct", "forward", "input gradient", "weight gradient"};

bool may_use_winograd(const Conv& c) {
  return c.kernel == 3 && c.stride == 1 && c.groups < c.in;
}

Case convolution(const Conv& c, const std::string& group, i64 batch, i64 size, Pass pass) {
  const ops::Conv2dParams params{
      .stride = c.stride, .padding = c.kernel / 2, .groups = c.groups, .activation = ops::Activation::kRelu};
  const Shape x_shape{batch, size, size, c.in}, w_shape{c.out, c.kernel, c.kernel, c.in / c.groups};
  const ops::Conv2dDims dims = ops::conv2d_dims("bench", x_shape, w_shape, params);
  const Shape y_shape{batch, dims.Ho, dims.Wo, c.out};
  const char* pass_name = kPassNames[static_cast<int>(pass)];
  std::vector<std::string> sums;
  if (c.times > 0) {
    sums.push_back(fmt::format("ResNet-50, {}", pass_name));
    if (pass == Pass::kInference && !may_use_winograd(c)) sums.push_back("ResNet-50, direct");
  }
  return {.group = group,
          .name = fmt::format("{}->{} {}x{} s{}{} @{}{}", c.in, c.out, c.kernel, c.kernel, c.stride,
                              c.groups > 1 ? fmt::format(" g{}", c.groups) : "", size,
                              pass == Pass::kInference ? "" : fmt::format(" {}", pass_name)),
          .peer = {{"op", "conv2d"},
                   {"batch", batch},
                   {"channels", c.in},
                   {"out", c.out},
                   {"size", size},
                   {"kernel", c.kernel},
                   {"stride", c.stride},
                   {"groups", c.groups},
                   {"what", pass <= Pass::kForward ? "forward" : pass_name}},
          .make = [=]() -> Call {
            const Tensor x = random_tensor(x_shape), w = random_tensor(w_shape), bias = random_tensor({c.out});
            if (pass <= Pass::kDirect)
              return [x, packed = ops::conv2d_pack(w, bias, params, pass == Pass::kInference)] {
                ops::conv2d_packed(x, packed);
              };
            const Tensor gy = pass == Pass::kForward ? Tensor() : random_tensor(y_shape);
            if (pass == Pass::kForward) return [=] { ops::conv2d(x, w, bias, params); };
            if (pass == Pass::kInputGradient) return [=] { ops::conv2d_backward_input(gy, w, x_shape, params); };
            return [=] { ops::conv2d_backward_weight(gy, x, w_shape, params); };
          },
          .operations = 2.0 * static_cast<double>(dims.multiply_adds()),
          .sums = sums,
          .times = c.times};
}

}  // namespace

void convolution_cases(Cases& cases) {
  for (const Conv& c : kConvs) {
    const std::string group = "conv + bias + ReLU, 640, batch 1";
    cases.push_back(convolution(c, group, 1, c.size, Pass::kInference));
    if (may_use_winograd(c)) cases.push_back(convolution(c, group, 1, c.size, Pass::kDirect));
  }
  for (const Pass pass : {Pass::kForward, Pass::kInputGradient, Pass::kWeightGradient})
    for (const Conv& c : kConvs) {
      if (c.times == 0) continue;
      if (pass == Pass::kInputGradient && c.in == 3) continue;  // nobody asks for the gradient of an image
      cases.push_back(convolution(c, "conv, training 256, batch 2", 2, c.size * 256 / 640, pass));
    }
}

}  // namespace tessera::bench
