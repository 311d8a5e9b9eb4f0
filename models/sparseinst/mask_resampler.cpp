#include "models/sparseinst/mask_resampler.h"

#include <algorithm>

namespace tessera {

namespace {

// Where output position `o` of a bilinear resize in -> out reads (align_corners false): two positions, their weights.
struct Linear {
  std::array<i64, 2> index;
  std::array<double, 2> weight;
};
Linear linear_taps(i64 o, i64 in, i64 out) {
  const double at =
      std::max((static_cast<double>(o) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5, 0.0);
  const i64 first = std::min(static_cast<i64>(at), in - 1);
  const double part = at - static_cast<double>(first);
  return {{first, std::min(first + 1, in - 1)}, {1 - part, part}};
}

}  // namespace

MaskResampler::MaskResampler(ImageSize map, ImageSize padded, ImageSize resized, ImageSize original)
    : map_(map), original_(original) {
  for (const ImageSize size : {map, padded, resized, original})
    TESSERA_CHECK(size.height > 0 && size.width > 0, "mask resampler: size {} x {} is empty", size.height, size.width);
  TESSERA_CHECK(resized.height <= padded.height && resized.width <= padded.width,
                "mask resampler: the picture {} x {} is larger than the padded input {} x {}", resized.height,
                resized.width, padded.height, padded.width);
  rows_ = compose(map.height, padded.height, resized.height, original.height);
  columns_ = compose(map.width, padded.width, resized.width, original.width);
}

std::vector<MaskResampler::Tap> MaskResampler::compose(i64 map, i64 padded, i64 resized, i64 original) {
  std::vector<Tap> taps(static_cast<size_t>(original));
  for (i64 o = 0; o < original; ++o) {
    const Linear outer = linear_taps(o, resized, original);
    for (size_t a = 0; a < 2; ++a) {
      const Linear inner = linear_taps(outer.index[a], map, padded);
      for (size_t b = 0; b < 2; ++b) {
        taps[static_cast<size_t>(o)].index[2 * a + b] = inner.index[b];
        taps[static_cast<size_t>(o)].weight[2 * a + b] = static_cast<float>(outer.weight[a] * inner.weight[b]);
      }
    }
  }
  return taps;
}

void MaskResampler::columns(std::span<const float> map,
                            const std::function<void(i64 x, std::span<const float> values)>& each) const {
  TESSERA_CHECK(static_cast<i64>(map.size()) == map_.height * map_.width, "mask resampler: {} values for a {} x {} map",
                map.size(), map_.height, map_.width);
  const size_t H = static_cast<size_t>(original_.height), w = static_cast<size_t>(map_.width);
  // Rows first: tall[j] is column j of the small map at the original's height.
  std::vector<float> tall(w * H);
  for (size_t y = 0; y < H; ++y)
    for (size_t j = 0; j < w; ++j) {
      float value = 0;
      for (size_t t = 0; t < 4; ++t) value += rows_[y].weight[t] * map[static_cast<size_t>(rows_[y].index[t]) * w + j];
      tall[j * H + y] = value;
    }
  std::vector<float> column(H);
  for (size_t x = 0; x < columns_.size(); ++x) {
    std::array<const float*, 4> from;
    for (size_t t = 0; t < 4; ++t) from[t] = tall.data() + static_cast<size_t>(columns_[x].index[t]) * H;
    const std::array<float, 4> weight = columns_[x].weight;
    for (size_t y = 0; y < H; ++y)
      column[y] = weight[0] * from[0][y] + weight[1] * from[1][y] + weight[2] * from[2][y] + weight[3] * from[3][y];
    each(static_cast<i64>(x), column);
  }
}

}  // namespace tessera
