#include "models/segmenter.h"

namespace tessera {

Instance Instance::of_mask(i64 class_index, double score, Rle mask, i64 query) {
  const XywhBox box = rle_bbox(mask);
  return {class_index, score, std::move(mask), box, score, query};
}

Instance Instance::of_box(i64 class_index, double score, const XywhBox& box, i64 query) {
  return {class_index, score, {}, box, score, query};
}

Tensor Segmenter::activation_maps(const Batch& /*batch*/) {
  fail("activation maps: the model has none");
}

}  // namespace tessera
