#include "data/label_map.h"

#include <algorithm>
#include <map>

namespace tessera {

std::vector<LabelRegion> regions_of(const Tensor& map) {
  const i64 height = map.dim(0), width = map.dim(1);
  check_mask_size(height, width);
  struct Runs {
    std::vector<u32> counts;
    i64 written = 0;  // pixels
  };
  std::map<i32, Runs> runs;
  const auto append = [&](i32 value, i64 begin, i64 end) {
    Runs& region = runs[value];
    region.counts.push_back(static_cast<u32>(begin - region.written));
    region.counts.push_back(static_cast<u32>(end - begin));
    region.written = end;
  };
  // Rows are stored, runs go down the columns: turn a strip at a time.
  constexpr i64 kStrip = 16;
  std::vector<i32> strip(static_cast<size_t>(kStrip * height));
  const i32* pixels = map.data<i32>();
  i32 value = pixels[0];
  i64 begin = 0, at = 0;
  for (i64 x0 = 0; x0 < width; x0 += kStrip) {
    const i64 columns = std::min(kStrip, width - x0);
    for (i64 y = 0; y < height; ++y)
      for (i64 x = 0; x < columns; ++x) strip[x * height + y] = pixels[y * width + x0 + x];
    for (i64 i = 0; i < columns * height; ++i, ++at) {
      if (strip[i] == value) continue;
      append(value, begin, at);
      value = strip[i];
      begin = at;
    }
  }
  append(value, begin, at);
  std::vector<LabelRegion> regions;
  for (auto& [key, region] : runs) {
    if (region.written < at) region.counts.push_back(static_cast<u32>(at - region.written));
    regions.push_back({key, {height, width, std::move(region.counts)}});
  }
  return regions;
}

}  // namespace tessera
