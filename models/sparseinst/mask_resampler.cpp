#include "models/sparseinst/mask_resampler.h"

#include <algorithm>
#include <map>

#include "ops/cpu/simd/masks.h"

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

std::vector<MaskResampler::Taps> MaskResampler::compose(i64 map, i64 padded, i64 resized, i64 original) {
  std::vector<Taps> result(static_cast<size_t>(original));
  for (i64 o = 0; o < original; ++o) {
    std::map<i64, double> weights;
    const Linear outer = linear_taps(o, resized, original);
    for (size_t a = 0; a < 2; ++a) {
      const Linear inner = linear_taps(outer.index[a], map, padded);
      for (size_t b = 0; b < 2; ++b) weights[inner.index[b]] += outer.weight[a] * inner.weight[b];
    }
    Taps& taps = result[static_cast<size_t>(o)];
    for (const auto& [index, weight] : weights) {
      if (weight == 0) continue;
      taps.index[static_cast<size_t>(taps.count)] = index;
      taps.weight[static_cast<size_t>(taps.count++)] = static_cast<float>(weight);
    }
  }
  return result;
}

void MaskResampler::columns(std::span<const float> map,
                            const std::function<void(i64 x, std::span<const float> values)>& each) const {
  TESSERA_CHECK(static_cast<i64>(map.size()) == map_.height * map_.width, "mask resampler: {} values for a {} x {} map",
                map.size(), map_.height, map_.width);
  constexpr i64 kStrip = 16;  // rows that are turned together: a cache line of each column
  const i64 H = original_.height, w = map_.width;
  const auto sum = simd::weighted_rows.get();
  const auto blend = [&](const Taps& taps, const float* from, i64 pitch, i64 n, float* out) {
    std::array<const float*, 4> rows;
    for (size_t t = 0; t < 4; ++t) rows[t] = from + taps.index[t] * pitch;
    sum(rows.data(), taps.weight.data(), taps.count, n, out);
  };
  // Rows first: tall[j] is column j of the small map at the original's height.
  std::vector<float> tall(static_cast<size_t>(w * H)), strip(static_cast<size_t>(kStrip * w));
  for (i64 y0 = 0; y0 < H; y0 += kStrip) {
    const i64 count = std::min(kStrip, H - y0);
    for (i64 y = 0; y < count; ++y) blend(rows_[static_cast<size_t>(y0 + y)], map.data(), w, w, strip.data() + y * w);
    for (i64 j = 0; j < w; ++j)
      for (i64 y = 0; y < count; ++y) tall[static_cast<size_t>(j * H + y0 + y)] = strip[static_cast<size_t>(y * w + j)];
  }
  std::vector<float> column(static_cast<size_t>(H));
  for (size_t x = 0; x < columns_.size(); ++x) {
    blend(columns_[x], tall.data(), H, H, column.data());
    each(static_cast<i64>(x), column);
  }
}

}  // namespace tessera
