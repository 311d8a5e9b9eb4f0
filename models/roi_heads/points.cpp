#include "models/roi_heads/points.h"

#include "autograd/arrange.h"
#include "autograd/grid_sample.h"
#include "models/roi_heads/roi_features.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"

namespace tessera::roi_heads {

Points points_of(const Tensor& at) {
  const i64 R = at.dim(0), points = at.dim(1);
  const Tensor zeros = Tensor::zeros({R, points}, DType::kI64, at.device());
  return {ops::flat_rows(zeros, 1), at.reshape({R * points, 2})};  // row r of R parts of one row
}

Tensor cell_centres(i64 S, Device device) {
  Tensor centres = Tensor::empty({S * S, 2});
  float* at = centres.data<float>();
  for (i64 y = 0; y < S; ++y)
    for (i64 x = 0; x < S; ++x)
      for (const i64 cell : {x, y}) *at++ = (static_cast<float>(cell) + 0.5F) / static_cast<float>(S);
  return centres.to(device);
}

Var sample_finest(const Var& map, const Rois& rois, const Points& points) {
  const ImageSize extent{kFinestStride * map.dim(1), kFinestStride * map.dim(2)};
  return sample_points(map, ops::gather_rows(rois.image, points.roi),
                       points_in_boxes(rois.boxes.detach(), points.roi, points.at, extent));
}

Var simple_roi_align(const Var& map, const Rois& rois, i64 S) {
  const i64 R = rois.count();
  const Tensor centres = cell_centres(S, map.value().device()).reshape({1, S * S, 2});
  const Points points = points_of(ops::broadcast_to(centres, {R, S * S, 2}));
  return reshape(sample_finest(map, rois, points), {R, S, S, map.dim(3)});
}

Tensor uncertainty(const Tensor& logits) {
  return ops::mul_scalar(ops::add(ops::relu(logits), ops::relu(ops::mul_scalar(logits, -1))), -1);
}

}  // namespace tessera::roi_heads
