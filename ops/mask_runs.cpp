#include "ops/mask_runs.h"

namespace tessera::ops {

namespace {

void check_maps(const char* op, const Tensor& masks, const Tensor& kept, double threshold) {
  TESSERA_CHECK(masks.defined() && masks.rank() == 3 && masks.dim(1) > 0 && masks.dim(2) > 0,
                "{}: masks must be [M, h, w] with h and w above 0, got {}", op, masks.shape());
  TESSERA_CHECK(is_compute_float(masks.dtype()), "{}: masks are {}, use f32 or f64", op, name_of(masks.dtype()));
  TESSERA_CHECK(!kept.defined() || (kept.dtype() == DType::kU8 && kept.shape() == Shape{masks.dim(0)}),
                "{}: kept must be u8 [{}], one for each mask, got {} {}", op, masks.dim(0), name_of(kept.dtype()),
                kept.shape());
  TESSERA_CHECK(threshold == threshold, "{}: the threshold is NaN", op);
}

// Returns the number of outputs.
i64 check_weights(const char* axis, const AxisWeights& weights, DType dtype) {
  TESSERA_CHECK(weights.index.defined() && weights.index.rank() == 2 && weights.index.dim(0) > 0 &&
                    weights.index.dim(1) == kAxisWeights && weights.index.dtype() == DType::kI32,
                "mask_runs: {}.index must be i32 [out, {}] with out above 0, got {} {}", axis, kAxisWeights,
                name_of(weights.index.dtype()), weights.index.shape());
  TESSERA_CHECK(weights.weight.shape() == weights.index.shape() && weights.weight.dtype() == dtype,
                "mask_runs: {}.weight must be {} {}, got {} {}", axis, name_of(dtype), weights.index.shape(),
                name_of(weights.weight.dtype()), weights.weight.shape());
  return weights.index.dim(0);
}

}  // namespace

MaskRuns mask_runs(const Tensor& masks, const Tensor& kept, const AxisWeights& rows, const AxisWeights& columns,
                   double threshold, i64 room) {
  check_maps("mask_runs", masks, kept, threshold);
  const i64 H = check_weights("rows", rows, masks.dtype()), W = check_weights("columns", columns, masks.dtype());
  TESSERA_CHECK(H < (i64{1} << 31) / W, "mask_runs: a picture of {} x {} has 2^31 pixels or more", H, W);
  MaskRuns result;
  result.offsets = Tensor::zeros({masks.dim(0) + 1}, DType::kI64, masks.device());
  mask_runs_kernels(masks, kept, rows.index, rows.weight, columns.index, columns.weight, threshold, room,
                    result.offsets, result.ends);
  return result;
}

Tensor maskness(const Tensor& masks, const Tensor& kept, double threshold) {
  check_maps("maskness", masks, kept, threshold);
  Tensor y = Tensor::empty({masks.dim(0)}, masks.dtype(), masks.device());
  maskness_kernels(masks, kept, threshold, y);
  return y;
}

}  // namespace tessera::ops
