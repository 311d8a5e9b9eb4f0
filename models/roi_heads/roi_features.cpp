#include "models/roi_heads/roi_features.h"

#include <algorithm>
#include <cmath>

#include "autograd/arrange.h"
#include "autograd/grid_sample.h"
#include "autograd/pointwise.h"
#include "autograd/roi_align.h"
#include "ops/arrange.h"

namespace tessera::roi_heads {

namespace {

// [R, 5], as RoIAlign takes boxes: the row of its input first.
Tensor with_row(const Tensor& row, const Tensor& boxes) {
  return ops::concat({row.to(DType::kF32).reshape({row.numel(), 1}), boxes}, 1);
}

// part(l, rows) of the rows of every level l, put back into the order that `levels` has. Rows: i64 on its device.
template <class Part>
Var on_their_levels(const Tensor& levels, const Part& part) {
  const Tensor host = levels.to_host();
  std::array<std::vector<i64>, kRoiLevels> rows;
  for (i64 r = 0; r < host.numel(); ++r) rows[static_cast<size_t>(host.data<i64>()[r])].push_back(r);

  std::vector<Var> parts;
  std::vector<i64> place(static_cast<size_t>(host.numel()));
  i64 before = 0;
  for (size_t l = 0; l < rows.size(); ++l) {
    if (rows[l].empty() && !(l == 0 && host.numel() == 0)) continue;  // nothing at all is what level 0 makes of nothing
    parts.push_back(part(l, Tensor::from(rows[l]).to(levels.device())));
    for (const i64 r : rows[l]) place[static_cast<size_t>(r)] = before++;
  }
  if (parts.size() == 1) return parts[0];
  return gather_rows(concat(parts, 0), Tensor::from(place).to(levels.device()));
}

void check_maps(const std::vector<Var>& maps) {
  TESSERA_CHECK(static_cast<i64>(maps.size()) >= kRoiLevels, "RoI features: {} maps were given, P2 to P5 are needed",
                maps.size());
}

}  // namespace

Tensor roi_levels(const Tensor& boxes) {
  const Tensor host = boxes.to_host();
  Tensor levels = Tensor::empty({host.dim(0)}, DType::kI64);
  for (i64 r = 0; r < host.dim(0); ++r) {
    const float* box = host.data<float>() + 4 * r;
    const double area = (double{box[2]} - box[0]) * (double{box[3]} - box[1]);
    const double level = area > 0 ? std::floor(std::log2(std::sqrt(area) / 56 + 1e-6)) : 0;
    levels.data<i64>()[r] = static_cast<i64>(std::clamp(level, 0.0, double{kRoiLevels - 1}));
  }
  return levels.to(boxes.device());
}

Var roi_features(const std::vector<Var>& maps, const Rois& rois, const Tensor& levels, i64 S) {
  check_maps(maps);
  const Tensor boxes = with_row(rois.image, rois.boxes.value());  // [R, 5]
  return on_their_levels(levels, [&](size_t l, const Tensor& rows) {
    const double scale = 1.0 / static_cast<double>(kFinestStride << l);
    return roi_align(maps[l], Var(ops::gather_rows(boxes, rows)),
                     {.height = S, .width = S, .spatial_scale = scale, .aligned = true});
  });
}

Var points_in_boxes(const Var& boxes, const Tensor& roi, const Tensor& at, ImageSize extent) {
  const Tensor unit =
      Tensor::from(std::vector<float>{1 / static_cast<float>(extent.width), 1 / static_cast<float>(extent.height)});
  const Var box = gather_rows(boxes, roi);        // [P, 4]
  const Var corner = slice(box, 1, 0, 2);         // [P, 2]
  const Var size = slice(box, 1, 2, 4) - corner;  // [P, 2]
  return (corner + size * Var(at)) * Var(unit.to(at.device()));
}

Var sample_levels(const std::vector<Var>& maps, const Tensor& levels, const Tensor& image, const Var& points) {
  check_maps(maps);
  return on_their_levels(levels, [&](size_t l, const Tensor& rows) {
    return sample_points(maps[l], ops::gather_rows(image, rows), gather_rows(points, rows));
  });
}

Tensor crop_masks(const Tensor& masks, const Tensor& object, const Tensor& boxes, i64 S) {
  return ops::roi_align(masks, with_row(object, boxes), {.height = S, .width = S, .aligned = true});
}

}  // namespace tessera::roi_heads
