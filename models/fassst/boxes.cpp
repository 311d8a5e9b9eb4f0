#include "models/fassst/boxes.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "ops/arrange.h"

namespace tessera::fassst {

namespace {

constexpr double kLowest = -6, kHighest = 3;  // of the logarithm of a side

Tensor pair(i64 a, i64 b, Device device) {
  return Tensor::from(std::vector<float>{static_cast<float>(a), static_cast<float>(b)}).to(device);
}

Tensor minimum(const Tensor& x, double highest) {
  return ops::mul_scalar(ops::clamp_min(ops::mul_scalar(x, -1), -highest), -1);
}

Var between(const Var& x, double lowest, double highest) {
  return clamp_min(clamp_min(x, lowest) * -1, -highest) * -1;
}

Var from_centres(const Var& raw) {
  const i64 gh = raw.dim(1), gw = raw.dim(2);
  std::vector<float> corner;  // of each cell, minus one
  for (i64 i = 0; i < gh; ++i)
    for (i64 j = 0; j < gw; ++j) {
      corner.push_back(static_cast<float>(i - 1));
      corner.push_back(static_cast<float>(j - 1));
    }
  const Device device = raw.value().device();
  const Var cells(pair(gh, gw, device)), corners(Tensor::from(corner, {1, gh, gw, 2}).to(device));
  const Var centre = (sigmoid(slice(raw, 3, 0, 2)) * 3 + corners) / cells;              // [B, gh, gw, 2]
  const Var half = exp(between(slice(raw, 3, 2, 4), kLowest, kHighest)) * 0.5 / cells;  // [B, gh, gw, 2]
  return reshape(concat({centre - half, centre + half}, 3), {raw.dim(0) * gh * gw, 4});
}

// min(a, b) and max(a, b) of (t, l) and (b, r)
Tensor from_edges(const Tensor& raw) {
  const Tensor p = ops::sigmoid(ops::slice(raw, 3, 0, 4).reshape({raw.numel() / raw.dim(3), 4}));
  const Tensor first = ops::slice(p, 1, 0, 2), second = ops::slice(p, 1, 2, 4);
  const Tensor upwards = ops::relu(ops::sub(second, first)), downwards = ops::relu(ops::sub(first, second));
  return ops::concat({ops::sub(first, downwards), ops::add(first, upwards)}, 1);
}

}  // namespace

Var decode(const Var& raw, BoxForm form) {
  return form == BoxForm::kCentre ? from_centres(raw) : Var(from_edges(raw.value()));
}

Tensor cut_to_frame(const Tensor& boxes) {
  return minimum(ops::clamp_min(boxes, 0), 1);
}

Tensor regions(const Tensor& picture, const Tensor& boxes, ImageSize input) {
  const Device device = boxes.device();
  const Tensor pixels = ops::mul(
      boxes, ops::concat({pair(input.height, input.width, device), pair(input.height, input.width, device)}, 0));
  const auto edge = [&](i64 k) { return ops::slice(pixels, 1, k, k + 1); };
  return ops::concat({picture.to(DType::kF32).reshape({boxes.dim(0), 1}), edge(1), edge(0), edge(3), edge(2)}, 1);
}

}  // namespace tessera::fassst
