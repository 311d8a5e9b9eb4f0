// Anchors on the CPU: a few thousand numbers. match_anchors enters what the objects want into a table per picture, by
// rank and object; the first entry of an anchor stays.
#include "ops/anchors.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace tessera::ops {

namespace {

void anchor_rows_cpu(const Tensor& anchors, i64 cells, i64 kinds, Tensor& picture, Tensor& cell, Tensor& kind,
                     Tensor& slot) {
  const i64 N = anchors.numel(), n = anchors.dim(1);
  for (i64 q = 0; q < N; ++q) {
    const i64 anchor = anchors.data<i64>()[q], b = q / n;
    TESSERA_CHECK(0 <= anchor && anchor < cells * kinds, "anchor_rows: there is no anchor {}, but {} of {} kinds",
                  anchor, cells * kinds, kinds);
    picture.data<i64>()[q] = b;
    cell.data<i64>()[q] = b * cells + anchor / kinds;
    kind.data<i64>()[q] = anchor % kinds;
    slot.data<i64>()[q] = anchor % kinds * N + q;
  }
}

void match_anchors_cpu(const Tensor& ranked, const Tensor& pictures, const Tensor& chosen, Tensor& owner,
                       Tensor& matched, Tensor& object) {
  const i64 T = ranked.dim(0), R = ranked.dim(1), B = chosen.dim(0), N = chosen.numel();
  std::vector<std::unordered_map<i64, i64>> owners(static_cast<size_t>(B));  // of each picture: anchor -> object
  for (i64 r = 0; r < R; ++r)
    for (i64 t = 0; t < T; ++t) {
      const i64 b = pictures.data<i64>()[t];
      TESSERA_CHECK(0 <= b && b < B, "match_anchors: object {} is in picture {}, there are {}", t, b, B);
      owners[static_cast<size_t>(b)].try_emplace(ranked.data<i64>()[t * R + r], t);
    }
  std::vector<i64> rows, objects;
  for (i64 q = 0; q < N; ++q) {
    const auto& mine = owners[static_cast<size_t>(q / chosen.dim(1))];
    const auto found = mine.find(chosen.data<i64>()[q]);
    owner.data<i64>()[q] = found == mine.end() ? T : found->second;
    if (found == mine.end()) continue;
    rows.push_back(q);
    objects.push_back(found->second);
  }
  matched = Tensor::from(rows);
  object = Tensor::from(objects);
}

[[maybe_unused]] const bool kAdded[] = {
    anchor_rows_kernels.add(DeviceKind::kCpu, anchor_rows_cpu),
    match_anchors_kernels.add(DeviceKind::kCpu, match_anchors_cpu),
};

}  // namespace

}  // namespace tessera::ops
