#include "ops/paste_masks.h"

namespace tessera::ops {

PastedMasks paste_masks(const Tensor& masks, const Tensor& boxes, i64 height, i64 width, double threshold) {
  TESSERA_CHECK(masks.defined() && is_compute_float(masks.dtype()), "paste_masks: masks must be f32 or f64");
  TESSERA_CHECK(masks.rank() == 3, "paste_masks: masks must be [R, h, w], got {}", masks.shape());
  const Shape expected{masks.dim(0), 4};
  TESSERA_CHECK(boxes.defined() && boxes.dtype() == masks.dtype(), "paste_masks: boxes must be {}, as the masks",
                name_of(masks.dtype()));
  TESSERA_CHECK(boxes.shape() == expected, "paste_masks: boxes must be {}, got {}; masks {}", expected, boxes.shape(),
                masks.shape());
  TESSERA_CHECK(masks.dim(1) > 0 && masks.dim(2) > 0, "paste_masks: the masks have no cells: {}", masks.shape());
  TESSERA_CHECK(height > 0 && width > 0, "paste_masks: the picture must have pixels, asked for {} x {}", height, width);
  TESSERA_CHECK(threshold >= 0, "paste_masks: threshold {} must not be negative: beyond the boxes p is 0", threshold);
  const i64 R = masks.dim(0);
  PastedMasks result{.masks = Tensor::empty({R, height, width}, DType::kU8, masks.device()),
                     .regions = Tensor::empty({R, 4}, DType::kI64, masks.device()),
                     .areas = Tensor::empty({R}, DType::kI64, masks.device()),
                     .sums = Tensor::empty({R}, masks.dtype(), masks.device())};
  paste_masks_kernels(masks, boxes, threshold, result.regions, result.areas, result.sums, result.masks);
  return result;
}

}  // namespace tessera::ops
