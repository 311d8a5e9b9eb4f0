#include "data/rle.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace tessera {

namespace {

constexpr i64 kMaxSide = i64{1} << 20;
constexpr i64 kMaxPixels = std::numeric_limits<i32>::max();

// Collects the runs of a mask whose pixels arrive column by column.
class RunCollector {
 public:
  explicit RunCollector(std::vector<u32>& counts) : counts_(counts) {}
  void add(const u8* pixels, i64 n) {
    for (i64 i = 0; i < n;) {
      if (i + 8 <= n && continues(pixels + i)) {
        run_ += 8;
        i += 8;
        continue;
      }
      const bool value = pixels[i++] != 0;
      if (value != value_) {
        counts_.push_back(run_);
        run_ = 0;
        value_ = value;
      }
      ++run_;
    }
  }
  void finish() { counts_.push_back(run_); }

 private:
  // Whether eight pixels all belong to the current run; most of a mask is such.
  bool continues(const u8* pixels) const {
    u64 eight;
    std::memcpy(&eight, pixels, sizeof(eight));
    if (!value_) return eight == 0;
    return ((eight - 0x0101010101010101) & ~eight & 0x8080808080808080) == 0;  // no byte is 0
  }

  std::vector<u32>& counts_;
  bool value_ = false;
  u32 run_ = 0;
};

}  // namespace

void check_mask_size(i64 height, i64 width) {
  TESSERA_CHECK(height >= 1 && width >= 1 && height <= kMaxSide && width <= kMaxSide && height * width <= kMaxPixels,
                "mask: a size of {} x {} (height x width) is not possible; sides are 1 to {}, pixels fewer than 2^31",
                height, width, kMaxSide);
}

void check_rle(RleView rle) {
  check_mask_size(rle.height, rle.width);
  i64 sum = 0;
  for (const u32 run : rle.counts) sum += run;
  TESSERA_CHECK(sum == rle.height * rle.width, "rle: {} runs add up to {}, a mask of {} x {} has {} pixels",
                rle.counts.size(), sum, rle.height, rle.width, rle.height * rle.width);
}

Rle Rle::from_ends(i64 height, i64 width, std::span<const i32> ends) {
  Rle rle{height, width, {ends.begin(), ends.end()}};
  std::adjacent_difference(rle.counts.begin(), rle.counts.end(), rle.counts.begin());
  return rle;
}

Rle encode_rle(const Tensor& mask) {
  TESSERA_CHECK(mask.rank() == 2, "encode_rle: the mask must be [H, W], got {}", mask.shape());
  const i64 height = mask.dim(0), width = mask.dim(1);
  check_mask_size(height, width);
  Rle rle{height, width, {}};
  RunCollector runs(rle.counts);
  // The bitmap is row-major, the runs go down the columns: turn a strip one cache line wide at a time.
  constexpr i64 kStrip = 64;
  std::vector<u8> strip(static_cast<size_t>(kStrip * height));
  const u8* pixels = mask.data<u8>();
  for (i64 x0 = 0; x0 < width; x0 += kStrip) {
    const i64 columns = std::min(kStrip, width - x0);
    std::ranges::fill(strip, u8{0});
    for (i64 y = 0; y < height; ++y) {
      const u8* row = pixels + y * width + x0;
      u8 any = 0;
      for (i64 x = 0; x < columns; ++x) any |= row[x];
      for (i64 x = 0; any && x < columns; ++x) strip[x * height + y] = row[x];
    }
    runs.add(strip.data(), columns * height);
  }
  runs.finish();
  return rle;
}

void decode_rle(const Rle& rle, std::span<u8> mask) {
  check_rle(rle);
  TESSERA_CHECK(static_cast<i64>(mask.size()) == rle.height * rle.width,
                "decode_rle: a mask of {} x {} does not fit a block of {} bytes", rle.height, rle.width, mask.size());
  std::fill(mask.begin(), mask.end(), u8{0});
  i64 pixel = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    const i64 end = pixel + rle.counts[i];
    if (i % 2 == 1) {
      i64 x = pixel / rle.height, y = pixel % rle.height;
      for (; pixel < end; ++pixel) {
        mask[y * rle.width + x] = 1;
        if (++y == rle.height) {
          y = 0;
          ++x;
        }
      }
    }
    pixel = end;
  }
}

Tensor decode_rle(const Rle& rle) {
  check_rle(rle);
  Tensor mask = Tensor::empty({rle.height, rle.width}, DType::kU8);
  decode_rle(rle, mask.span<u8>());
  return mask;
}

std::string rle_to_string(const Rle& rle) {
  std::string text;
  text.reserve(rle.counts.size() * 2);
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    i64 value = rle.counts[i];
    if (i > 2) value -= rle.counts[i - 2];
    for (bool more = true; more;) {
      i64 group = value & 31;
      value >>= 5;
      more = (group & 16) ? value != -1 : value != 0;
      if (more) group |= 32;
      text.push_back(static_cast<char>(group + 48));
    }
  }
  return text;
}

Rle rle_from_string(std::string_view text, i64 height, i64 width) {
  Rle rle{height, width, {}};
  runs_from_string(text, height, width, rle.counts);
  rle.counts.shrink_to_fit();
  return rle;
}

void runs_from_string(std::string_view text, i64 height, i64 width, std::vector<u32>& runs) {
  check_mask_size(height, width);
  const i64 pixels = height * width;
  runs.clear();
  runs.reserve(text.size());  // a run takes at least one character
  i64 sum = 0;
  for (size_t at = 0; at < text.size();) {
    i64 value = 0;
    int shift = 0;
    for (bool more = true; more; shift += 5) {
      TESSERA_CHECK(at < text.size(), "rle: the string of {} characters ends inside a number", text.size());
      const int group = static_cast<unsigned char>(text[at]) - 48;
      TESSERA_CHECK(group >= 0 && group < 64, "rle: character {} of the string has code {}, codes are 48 to 111", at,
                    group + 48);
      TESSERA_CHECK(shift <= 55, "rle: the number before character {} of the string has too many digits", at);
      ++at;
      value |= static_cast<i64>(group & 31) << shift;
      more = (group & 32) != 0;
      if (!more && (group & 16)) value |= -(i64{32} << shift);
    }
    const size_t i = runs.size();
    if (i > 2) value += runs[i - 2];
    sum += value;  // cannot overflow: |value| < 2^61, sum <= 2^31
    TESSERA_CHECK(value >= 0 && sum <= pixels, "rle: run {} is {}, which does not fit a mask of {} x {}", i, value,
                  height, width);
    runs.push_back(static_cast<u32>(value));
  }
  TESSERA_CHECK(sum == pixels, "rle: {} runs add up to {}, a mask of {} x {} has {} pixels", runs.size(), sum, height,
                width, pixels);
}

i64 rle_area(RleView rle) {
  i64 area = 0;
  for (size_t i = 1; i < rle.counts.size(); i += 2) area += rle.counts[i];
  return area;
}

i64 rle_common_area(RleView a, RleView b) {
  TESSERA_CHECK(a.height == b.height && a.width == b.width,
                "rle: masks of {} x {} and {} x {} have no pixels in common", a.height, a.width, b.height, b.width);
  i64 common = 0, at = 0, end_a = 0, end_b = 0;  // ends of the current runs
  for (size_t i = 0, j = 0; i < a.counts.size() && j < b.counts.size();) {
    const i64 next_a = end_a + a.counts[i], next_b = end_b + b.counts[j], next = std::min(next_a, next_b);
    if (i % 2 == 1 && j % 2 == 1) common += next - at;
    at = next;
    if (next_a == next) end_a = next, ++i;
    if (next_b == next) end_b = next, ++j;
  }
  return common;
}

XywhBox rle_bbox(RleView rle) {
  const size_t runs = rle.counts.size() / 2 * 2;
  if (runs == 0 || rle.height == 0) return {0, 0, 0, 0};
  const u32 height = static_cast<u32>(rle.height);
  u32 x_min = static_cast<u32>(rle.width), y_min = height, x_max = 0, y_max = 0;
  u32 x = 0, y = 0;  // where the current run begins
  // Most runs stay in their column or end in the next one: divide only when they do not.
  auto advance = [&](u32& column, u32& row, u32 pixels) {
    row += pixels;
    if (row < height) return;
    if (row < 2 * height) {
      row -= height;
      ++column;
    } else {
      column += row / height;
      row %= height;
    }
  };
  for (size_t i = 0; i < runs; i += 2) {
    advance(x, y, rle.counts[i]);
    const u32 length = rle.counts[i + 1];
    u32 x_end = x, y_end = y;  // the last foreground pixel
    if (length > 0) {
      advance(x_end, y_end, length - 1);
    } else {  // as the official 32-bit arithmetic has it, which wraps before pixel 0
      const u32 pixel = x * height + y - 1;
      x_end = pixel / height;
      y_end = pixel % height;
    }
    x_min = std::min({x_min, x, x_end});
    x_max = std::max({x_max, x, x_end});
    y_min = std::min({y_min, y, y_end});
    y_max = std::max({y_max, y, y_end});
    if (x < x_end) {
      y_min = 0;
      y_max = height - 1;
    }
    if (length > 0) {
      x = x_end;
      y = y_end;
      advance(x, y, 1);
    }
  }
  return {static_cast<double>(x_min), static_cast<double>(y_min), static_cast<double>(x_max - x_min + 1),
          static_cast<double>(y_max - y_min + 1)};
}

namespace {

// Walks two run lists at once. A list whose run is used up takes exactly one next run, even an empty one: this is what
// makes the outcome equal to the COCO tool's for runs that are not canonical.
Rle merge_two(const Rle& a, const Rle& b, bool intersect) {
  if (a.height != b.height || a.width != b.width || a.counts.empty() || b.counts.empty()) return {};
  Rle merged{a.height, a.width, {}};
  u32 left_a = a.counts[0], left_b = b.counts[0], run = 0;
  size_t next_a = 1, next_b = 1;
  bool in_a = false, in_b = false, in = false;
  for (i64 left = 1; left > 0;) {
    const u32 step = std::min(left_a, left_b);
    run += step;
    left = 0;
    left_a -= step;
    if (left_a == 0 && next_a < a.counts.size()) {
      left_a = a.counts[next_a++];
      in_a = !in_a;
    }
    left += left_a;
    left_b -= step;
    if (left_b == 0 && next_b < b.counts.size()) {
      left_b = b.counts[next_b++];
      in_b = !in_b;
    }
    left += left_b;
    const bool now = intersect ? in_a && in_b : in_a || in_b;
    if (now != in || left == 0) {
      merged.counts.push_back(run);
      run = 0;
      in = now;
    }
  }
  return merged;
}

}  // namespace

Rle rle_merge(std::span<const Rle> masks, bool intersect) {
  if (masks.empty()) return {};
  Rle merged = masks[0];
  for (const Rle& mask : masks.subspan(1)) merged = merge_two(merged, mask, intersect);
  return merged;
}

}  // namespace tessera
