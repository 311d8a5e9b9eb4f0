#include "models/roi_heads/picture_masks.h"

#include <algorithm>
#include <cmath>

#include "models/picture_runs.h"
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

}  // namespace

PictureMasks picture_masks(const Tensor& probabilities, const Tensor& boxes, ImageSize padded, ImageSize resized,
                           ImageSize original) {
  PictureMasks result;
  const i64 R = boxes.dim(0);
  if (R == 0) return result;
  const ops::PastedMasks pasted = ops::paste_masks(probabilities, boxes, padded.height, padded.width);
  const Device device = boxes.device();
  const ops::AxisWeights rows = resize_axis(resized.height, original.height, device);
  const ops::AxisWeights columns = resize_axis(resized.width, original.width, device);
  std::vector<PictureRuns> parts;
  for (i64 begin = 0; begin < R; begin += kAtOnce)
    parts.push_back({original, [&, begin](i64 room) {
                       // mask_runs takes logits: -100 and 100, of probability (nearly) 0 and 1. The smallest product of
                       // weights is far above the threshold.
                       const Tensor bytes = pasted.masks.rows(begin, std::min(begin + kAtOnce, R));
                       const Tensor logits = ops::mul_scalar(ops::add_scalar(bytes.to(DType::kF32), -0.5), 200);
                       return ops::mask_runs(logits, {}, rows, columns, 1e-30, room);
                     }});
  std::vector<Tensor> numbers = {pasted.sums, pasted.areas};
  for (std::vector<Rle>& part : masks_of(parts, numbers)) std::ranges::move(part, std::back_inserter(result.masks));
  for (i64 r = 0; r < R; ++r)
    result.certainty.push_back(double{numbers[0].data<float>()[r]} /
                               (static_cast<double>(numbers[1].data<i64>()[r]) + 1e-6));
  return result;
}

}  // namespace tessera::roi_heads
