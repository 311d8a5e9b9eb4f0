#include "data/overlap.h"

#include <algorithm>

namespace tessera {

namespace {

// A mask made ready for many comparisons.
struct Prepared {
  const Rle* rle;
  i64 area;
  XywhBox box;
  bool canonical;         // no empty run but perhaps the first
  std::vector<u32> ends;  // pixel index where each run ends
};

Prepared prepare(const Rle& rle) {
  check_rle(rle);
  Prepared mask{&rle, rle_area(rle), rle_bbox(rle), true, {}};
  mask.ends.resize(rle.counts.size());
  u32 end = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    mask.canonical = mask.canonical && (i == 0 || rle.counts[i] > 0);
    mask.ends[i] = end += rle.counts[i];
  }
  return mask;
}

// Pixels common to two canonical masks whose boxes overlap. Only the columns common to both boxes are walked.
i64 intersection(const Prepared& a, const Prepared& b) {
  const i64 height = a.rle->height;
  const u32 begin = static_cast<u32>(height * static_cast<i64>(std::max(a.box[0], b.box[0])));
  const u32 end = static_cast<u32>(height * static_cast<i64>(std::min(a.box[0] + a.box[2], b.box[0] + b.box[2])));
  size_t i = std::upper_bound(a.ends.begin(), a.ends.end(), begin) - a.ends.begin();
  size_t j = std::upper_bound(b.ends.begin(), b.ends.end(), begin) - b.ends.begin();
  u32 common = 0;
  for (u32 at = begin; at < end;) {  // no branch but this one: which list moves on cannot be predicted
    const u32 end_a = a.ends[i], end_b = b.ends[j];
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
Walk official_walk(const Rle& a, const Rle& b) {
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

double overlap(const Prepared& detection, const Prepared& truth, bool crowd) {
  if (!(box_overlap(detection.box, truth.box, crowd) > 0)) return 0;
  const Rle &d = *detection.rle, &g = *truth.rle;
  if (d.height != g.height || d.width != g.width) return -1;
  Walk walk;
  if (detection.canonical && truth.canonical) {
    walk.common = intersection(detection, truth);
    walk.either = detection.area + truth.area - walk.common;
  } else {
    walk = official_walk(d, g);
  }
  if (walk.common == 0) return 0;
  return static_cast<double>(walk.common) / static_cast<double>(crowd ? detection.area : walk.either);
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

double mask_overlap(const Rle& detection, const Rle& truth, bool crowd) {
  return overlap(prepare(detection), prepare(truth), crowd);
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

std::vector<double> mask_overlaps(std::span<const Rle* const> detections, std::span<const Rle* const> truths,
                                  std::span<const u8> crowd) {
  check_flags(truths.size(), crowd.size());
  std::vector<Prepared> prepared;
  prepared.reserve(truths.size());
  for (const Rle* truth : truths) prepared.push_back(prepare(*truth));
  std::vector<double> overlaps;
  overlaps.reserve(detections.size() * truths.size());
  for (const Rle* rle : detections) {
    const Prepared detection = prepare(*rle);
    for (size_t g = 0; g < truths.size(); ++g) overlaps.push_back(overlap(detection, prepared[g], crowd[g]));
  }
  return overlaps;
}

}  // namespace tessera
