#include "models/roi_heads/picture_masks.h"

#include <algorithm>
#include <cmath>

#include "ops/mask_runs.h"
#include "ops/paste_masks.h"
#include "ops/pointwise.h"

namespace tessera::roi_heads {

namespace {

constexpr i64 kAtOnce = 8;  // masks that are floats at full size at the same time

// A bilinear resize in -> out, with places and weights in f32 as PyTorch has them: which pixels get anything at all
// depends on a weight being 0, not nearly 0.
ops::AxisWeights resize_axis(i64 in, i64 out, Device device) {
  Tensor index = Tensor::zeros({out, ops::kAxisWeights}, DType::kI32);
  Tensor weight = Tensor::zeros({out, ops::kAxisWeights});
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (i64 o = 0; o < out; ++o) {
    const float at = std::max(scale * (static_cast<float>(o) + 0.5F) - 0.5F, 0.0F);
    const i64 first = std::min(static_cast<i64>(at), in - 1);
    const float part = std::min(at - static_cast<float>(first), 1.0F);
    i32* indices = index.data<i32>() + o * ops::kAxisWeights;
    float* weights = weight.data<float>() + o * ops::kAxisWeights;
    if (part < 1) {
      *indices++ = static_cast<i32>(first);
      *weights++ = 1 - part;
    }
    if (part > 0) {
      *indices = static_cast<i32>(std::min(first + 1, in - 1));
      *weights = part;
    }
  }
  return {index.to(device), weight.to(device)};
}

Tensor positions(i64 count) {
  std::vector<i64> all(static_cast<size_t>(count));
  for (i64 i = 0; i < count; ++i) all[static_cast<size_t>(i)] = i;
  return Tensor::from(all);
}

}  // namespace

PictureMasks picture_masks(const Tensor& probabilities, const Tensor& boxes, ImageSize padded, ImageSize resized,
                           ImageSize original) {
  PictureMasks result;
  const i64 R = boxes.dim(0);
  if (R == 0) return result;
  const ops::PastedMasks pasted = ops::paste_masks(probabilities, boxes, padded.height, padded.width);

  const Tensor sums = pasted.sums.to_host(), areas = pasted.areas.to_host();
  for (i64 r = 0; r < R; ++r)
    result.certainty.push_back(double{sums.data<float>()[r]} / (static_cast<double>(areas.data<i64>()[r]) + 1e-6));

  const Device device = boxes.device();
  const ops::AxisWeights rows = resize_axis(resized.height, original.height, device);
  const ops::AxisWeights columns = resize_axis(resized.width, original.width, device);
  for (i64 begin = 0; begin < R; begin += kAtOnce) {
    const i64 count = std::min(kAtOnce, R - begin);
    // mask_runs takes logits: -100 and 100, of probability (nearly) 0 and 1. The smallest product of weights is far
    // above the threshold.
    const Tensor bytes = pasted.masks.rows(begin, begin + count);
    const Tensor logits = ops::mul_scalar(ops::add_scalar(bytes.to(DType::kF32), -0.5), 200);
    const ops::MaskRuns found = ops::mask_runs(logits, positions(count).to(device), rows, columns, 1e-30);
    const Tensor runs = found.runs.to_host(), offsets = found.offsets.to_host();
    for (i64 k = 0; k < count; ++k) {
      const i64* offset = offsets.data<i64>() + k;
      result.masks.push_back(
          {original.height, original.width, {runs.data<i32>() + offset[0], runs.data<i32>() + offset[1]}});
    }
  }
  return result;
}

}  // namespace tessera::roi_heads
