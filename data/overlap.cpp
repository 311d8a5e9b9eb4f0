#include "data/overlap.h"

#include <algorithm>

namespace tessera {

namespace {

// Pixels common to two canonical masks, given the ends of their runs. Only pixels [begin, end) are walked.
i64 intersection(std::span<const u32> a, std::span<const u32> b, u32 begin, u32 end) {
  size_t i = std::upper_bound(a.begin(), a.end(), begin) - a.begin();
  size_t j = std::upper_bound(b.begin(), b.end(), begin) - b.begin();
  u32 common = 0;
  for (u32 at = begin; at < end;) {  // no branch but this one: which list moves on cannot be predicted
    const u32 end_a = a[i], end_b = b[j];
    const u32 next = std::min(end_a, end_b);
    common += (next - at) * static_cast<u32>(i & j & 1);
    at = next;
    i += end_a == next;
    j += end_b == next;
  }
  return common;
}

struct Walk {
  i64 common = 0, either = 0;
};

// The official walk over two run lists, which for lists with empty inner runs counts what a bitmap would not: a used-up
// list takes exactly one next run, and the walk ends where both take an empty one.
Walk official_walk(RleView a, RleView b) {
  Walk walk;
  i64 left_a = a.counts[0], left_b = b.counts[0];
  size_t next_a = 1, next_b = 1;
  bool in_a = false, in_b = false;
  do {
    const i64 step = std::min(left_a, left_b);
    if (in_a || in_b) walk.either += step;
    if (in_a && in_b) walk.common += step;
    left_a -= step;
    if (left_a == 0 && next_a < a.counts.size()) {
      left_a = a.counts[next_a++];
      in_a = !in_a;
    }
    left_b -= step;
    if (left_b == 0 && next_b < b.counts.size()) {
      left_b = b.counts[next_b++];
      in_b = !in_b;
    }
  } while (left_a + left_b > 0);
  return walk;
}

void check_flags(size_t truths, size_t crowd) {
  TESSERA_CHECK(truths == crowd, "overlaps: {} ground truths but {} crowd flags", truths, crowd);
}

}  // namespace

double box_overlap(const XywhBox& d, const XywhBox& g, bool crowd) {
  const double w = std::min(d[0] + d[2], g[0] + g[2]) - std::max(d[0], g[0]);
  if (w <= 0) return 0;
  const double h = std::min(d[1] + d[3], g[1] + g[3]) - std::max(d[1], g[1]);
  if (h <= 0) return 0;
  const double common = w * h;
  const double area_d = d[2] * d[3], area_g = g[2] * g[3];
  return common / (crowd ? area_d : area_d + area_g - common);
}

void PreparedMask::assign(RleView rle) {
  check_rle(rle);
  rle_ = rle;
  box_ = rle_bbox(rle);
  area_ = rle_area(rle);
  canonical_ = true;
  ends_.resize(rle.counts.size());
  u32 end = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    canonical_ = canonical_ && (i == 0 || rle.counts[i] > 0);
    ends_[i] = end += rle.counts[i];
  }
}

double mask_overlap(const PreparedMask& d, const PreparedMask& g, bool crowd, double at_least) {
  if (!(box_overlap(d.box_, g.box_, crowd) > 0)) return 0;
  if (d.rle_.height != g.rle_.height || d.rle_.width != g.rle_.width) return -1;
  const auto ratio = [&](i64 common, i64 either) {
    return common == 0 ? 0 : static_cast<double>(common) / static_cast<double>(crowd ? d.area_ : either);
  };
  if (!d.canonical_ || !g.canonical_) {
    const Walk walk = official_walk(d.rle_, g.rle_);
    return ratio(walk.common, walk.either);
  }
  const auto common_range = [&](int axis) {
    return std::pair{static_cast<i64>(std::max(d.box_[axis], g.box_[axis])),
                     static_cast<i64>(std::min(d.box_[axis] + d.box_[axis + 2], g.box_[axis] + g.box_[axis + 2]))};
  };
  const auto [left, right] = common_range(0);
  const auto [top, bottom] = common_range(1);
  const i64 most = std::min({(right - left) * (bottom - top), d.area_, g.area_});
  if (ratio(most, d.area_ + g.area_ - most) < at_least) return 0;  // the ratio only grows with the common pixels
  const i64 height = d.rle_.height;
  const i64 common = intersection(d.ends_, g.ends_, static_cast<u32>(left * height), static_cast<u32>(right * height));
  return ratio(common, d.area_ + g.area_ - common);
}

double mask_overlap(RleView detection, RleView truth, bool crowd) {
  return mask_overlap(PreparedMask(detection), PreparedMask(truth), crowd);
}

std::vector<double> box_overlaps(std::span<const XywhBox> detections, std::span<const XywhBox> truths,
                                 std::span<const u8> crowd) {
  check_flags(truths.size(), crowd.size());
  std::vector<double> overlaps;
  overlaps.reserve(detections.size() * truths.size());
  for (const XywhBox& detection : detections) {
    for (size_t g = 0; g < truths.size(); ++g) overlaps.push_back(box_overlap(detection, truths[g], crowd[g]));
  }
  return overlaps;
}

std::vector<double> mask_overlaps(std::span<const RleView> detections, std::span<const RleView> truths,
                                  std::span<const u8> crowd) {
  check_flags(truths.size(), crowd.size());
  std::vector<PreparedMask> prepared;
  prepared.reserve(truths.size());
  for (const RleView truth : truths) prepared.emplace_back(truth);
  std::vector<double> overlaps;
  overlaps.reserve(detections.size() * truths.size());
  PreparedMask detection;
  for (const RleView rle : detections) {
    detection.assign(rle);
    for (size_t g = 0; g < truths.size(); ++g) overlaps.push_back(mask_overlap(detection, prepared[g], crowd[g]));
  }
  return overlaps;
}

}  // namespace tessera
