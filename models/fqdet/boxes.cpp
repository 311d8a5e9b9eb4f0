#include "models/fqdet/boxes.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"

namespace tessera::fqdet {

namespace {

constexpr double kLargestDelta = 62.5;

struct Centred {
  Tensor centre, size;  // [N, 2]
};

Centred centred(const Tensor& boxes) {
  const Tensor low = ops::slice(boxes, 1, 0, 2), high = ops::slice(boxes, 1, 2, 4);
  return {ops::mul_scalar(ops::add(low, high), 0.5), ops::sub(high, low)};
}

}  // namespace

Tensor centre_form(const Tensor& boxes) {
  const auto [centre, size] = centred(boxes);
  return ops::concat({centre, size}, 1);
}

Tensor encode(const Tensor& boxes, const Tensor& anchors) {
  const Centred box = centred(boxes), anchor = centred(anchors);
  const Tensor shift = ops::div(ops::sub(box.centre, anchor.centre), anchor.size);
  return ops::concat({shift, ops::log(ops::div(box.size, anchor.size))}, 1);
}

Var decode(const Var& deltas, const Tensor& anchors) {
  const auto [anchor_centre, anchor_size] = centred(anchors);
  const Var shift = slice(deltas, 1, 0, 2), growth = slice(deltas, 1, 2, 4);
  const Var clamped = clamp_min(growth * -1, -kLargestDelta) * -1;
  const Var centre = Var(anchor_centre) + shift * Var(anchor_size);
  const Var half = exp(clamped) * Var(ops::mul_scalar(anchor_size, 0.5));
  return concat({centre - half, centre + half}, 1);
}

}  // namespace tessera::fqdet
