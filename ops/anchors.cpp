#include "ops/anchors.h"

namespace tessera::ops {

namespace {

void check(const char* op, const char* name, const Tensor& x, int rank) {
  TESSERA_CHECK(x.defined() && x.rank() == rank && x.dtype() == DType::kI64, "{}: {} must be i64 of rank {}, got {} {}",
                op, name, rank, name_of(x.dtype()), x.shape());
}

}  // namespace

AnchorRows anchor_rows(const Tensor& anchors, i64 cells, i64 kinds) {
  check("anchor_rows", "anchors", anchors, 2);
  TESSERA_CHECK(cells >= 0 && kinds > 0, "anchor_rows: there are {} cells and {} kinds", cells, kinds);
  const auto rows = [&] { return Tensor::empty({anchors.numel()}, DType::kI64, anchors.device()); };
  AnchorRows y{rows(), rows(), rows(), rows()};
  anchor_rows_kernels(anchors, cells, kinds, y.picture, y.cell, y.kind, y.slot);
  return y;
}

AnchorMatches match_anchors(const Tensor& ranked, const Tensor& pictures, const Tensor& chosen) {
  check("match_anchors", "ranked", ranked, 2);
  check("match_anchors", "pictures", pictures, 1);
  check("match_anchors", "chosen", chosen, 2);
  TESSERA_CHECK(pictures.dim(0) == ranked.dim(0), "match_anchors: {} objects have anchors, {} a picture", ranked.dim(0),
                pictures.dim(0));
  AnchorMatches y{.owner = Tensor::empty({chosen.numel()}, DType::kI64, chosen.device()), .chosen = {}, .object = {}};
  match_anchors_kernels(ranked, pictures, chosen, y.owner, y.chosen, y.object);
  return y;
}

}  // namespace tessera::ops
