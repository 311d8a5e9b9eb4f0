#include "models/sparseinst/mask_resampler.h"

#include <algorithm>
#include <map>

namespace tessera::sparseinst {

namespace {

// Where output position `o` of a bilinear resize in -> out reads (align_corners false): two positions, their weights.
struct Linear {
  std::array<i64, 2> index;
  std::array<double, 2> weight;
};
Linear linear_weights(i64 o, i64 in, i64 out) {
  const double at =
      std::max((static_cast<double>(o) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5, 0.0);
  const i64 first = std::min(static_cast<i64>(at), in - 1);
  const double part = at - static_cast<double>(first);
  return {{first, std::min(first + 1, in - 1)}, {1 - part, part}};
}

ops::AxisWeights compose(i64 map, i64 padded, i64 resized, i64 original, Device device) {
  Tensor index = Tensor::zeros({original, ops::kAxisWeights}, DType::kI32);
  Tensor weight = Tensor::zeros({original, ops::kAxisWeights});
  for (i64 o = 0; o < original; ++o) {
    std::map<i64, double> weights;
    const Linear outer = linear_weights(o, resized, original);
    for (size_t a = 0; a < 2; ++a) {
      const Linear inner = linear_weights(outer.index[a], map, padded);
      for (size_t b = 0; b < 2; ++b) weights[inner.index[b]] += outer.weight[a] * inner.weight[b];
    }
    i64 place = o * ops::kAxisWeights;
    for (const auto& [at, share] : weights) {
      if (static_cast<float>(share) == 0) continue;
      index.data<i32>()[place] = static_cast<i32>(at);
      weight.data<float>()[place++] = static_cast<float>(share);
    }
  }
  return {index.to(device), weight.to(device)};
}

}  // namespace

MaskResampler::MaskResampler(ImageSize map, ImageSize padded, ImageSize resized, ImageSize original, Device device)
    : original(original) {
  for (const ImageSize size : {map, padded, resized, original})
    TESSERA_CHECK(size.height > 0 && size.width > 0, "mask resampler: size {} x {} is empty", size.height, size.width);
  TESSERA_CHECK(resized.height <= padded.height && resized.width <= padded.width,
                "mask resampler: the picture {} x {} is larger than the padded input {} x {}", resized.height,
                resized.width, padded.height, padded.width);
  rows = compose(map.height, padded.height, resized.height, original.height, device);
  columns = compose(map.width, padded.width, resized.width, original.width, device);
}

}  // namespace tessera::sparseinst
