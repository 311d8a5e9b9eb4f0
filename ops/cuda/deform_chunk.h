// A chunk of the output pixels of a deformable convolution, and where its samples lie.
#pragma once

#include <limits>

#include "ops/cuda/bilinear_sample.h"
#include "ops/cuda/divider.h"
#include "ops/deform_conv2d.h"
#include "ops/scalar/conv2d.h"

namespace tessera::cuda {

// The output pixels first, first + 1, ..., and what decides where they sample. Samples are counted from the chunk's
// first, [pixels, offset groups, positions].
struct DeformChunk {
  u32 first, pixels;
  int H, W;
  u32 C;
  Divider Ho, Wo, Kw, positions, I, offset_groups;  // I: channels of a group
  int stride, padding, dilation;
  const float *offset, *mask;  // mask: null for v1

  __host__ __device__ i64 samples() const { return i64{pixels} * offset_groups * positions; }
  __host__ __device__ u32 offset_channels() const { return C / offset_groups; }
  __device__ u32 offset_group(u32 sample) const { return sample / positions % offset_groups; }
  __device__ u32 pixel(u32 sample) const { return sample / positions / offset_groups; }
  __device__ u32 image(u32 sample) const { return (first + pixel(sample)) / Wo / Ho; }
  // Among all samples of the call.
  __device__ i64 entry(u32 sample) const { return i64{first} * offset_groups * positions + sample; }
  __device__ float mask_of(u32 sample) const { return mask ? mask[entry(sample)] : 1.0f; }
  __device__ BilinearSample sample(u32 sample) const {
    const u32 out = first + pixel(sample), position = sample % positions;
    const auto place = [&](u32 at, u32 step, float moved) {
      return static_cast<float>(scalar::seen_place(static_cast<int>(at), static_cast<int>(step), *this)) + moved;
    };
    const float* const moved = offset + 2 * entry(sample);
    return bilinear_sample(place(out / Wo % Ho, position / Kw, moved[0]), place(out % Wo, position % Kw, moved[1]), H,
                           W);
  }
  // Where channel c of a sample lies in the columns.
  __device__ i64 column(u32 sample, u32 c) const {
    return ((i64{pixel(sample)} * (C / I) + c / I) * positions + sample % positions) * I + c % I;
  }
};

// All output pixels as one chunk.
inline DeformChunk whole_call(const ops::DeformConv2dDims& dims, const Tensor& offset, const Tensor& mask) {
  const ops::Conv2dDims& conv = dims.conv;
  const i64 all = conv.N * conv.Ho * conv.Wo;
  TESSERA_CHECK(all <= std::numeric_limits<i32>::max(), "deform_conv2d: {} output pixels are too many for {}", all,
                offset.device());
  const auto narrow = [](i64 size) { return static_cast<int>(size); };
  const auto count = [](i64 size) { return static_cast<u32>(size); };
  return {.first = 0,
          .pixels = count(all),
          .H = narrow(conv.H),
          .W = narrow(conv.W),
          .C = count(conv.Ci),
          .Ho = count(conv.Ho),
          .Wo = count(conv.Wo),
          .Kw = count(conv.Kw),
          .positions = count(dims.positions()),
          .I = count(conv.group_in()),
          .offset_groups = count(dims.offset_groups),
          .stride = narrow(conv.stride),
          .padding = narrow(conv.padding),
          .dilation = narrow(conv.dilation),
          .offset = offset.device_data<float>(),
          .mask = mask.defined() ? mask.device_data<float>() : nullptr};
}

// Calls visit(chunk) for one chunk after the other.
template <class Visit>
void each_chunk(const ops::DeformConv2dDims& dims, const Tensor& offset, const Tensor& mask, const Visit& visit) {
  const ops::Conv2dDims& conv = dims.conv;
  DeformChunk chunk = whole_call(dims, offset, mask);
  const i64 all = chunk.pixels;
  const i64 most = std::max<i64>(1, kColumnBytes / (4 * std::max<i64>(1, dims.positions() * conv.Ci)));
  for (; chunk.first < all; chunk.first += chunk.pixels) {
    chunk.pixels = static_cast<u32>(std::min(most, all - chunk.first));
    visit(chunk);
  }
}

}  // namespace tessera::cuda
