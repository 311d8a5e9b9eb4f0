#include "ops/scale_rows.h"

#include "ops/dtypes.h"

namespace tessera::ops {

void scale_rows(std::span<ScaledRows> list) {
  if (list.empty()) return;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto& [target, source, scale, accumulate] = list[i];
    TESSERA_CHECK(target.defined() && source.defined(), "scale_rows: target or source {} is undefined", i);
    TESSERA_CHECK(target.shape() == source.shape(), "scale_rows: source {} is {}, the target {}", i, source.shape(),
                  target.shape());
    for (const DType dtype : {target.dtype(), source.dtype()})
      TESSERA_CHECK(is_activation(dtype), "scale_rows: dtype {} is not supported, use {}", name_of(dtype),
                    types_taken(is_activation));
    TESSERA_CHECK(target.device() == list[0].target.device() && source.device() == target.device(),
                  "scale_rows: source {} lies on {}, the target on {}, other tensors on {}", i, source.device(),
                  target.device(), list[0].target.device());
    if (!scale) continue;
    TESSERA_CHECK(target.rank() > 0 && scale.shape() == Shape({target.dim(0)}) && is_compute_float(scale.dtype()) &&
                      scale.device() == target.device(),
                  "scale_rows: scale {} is {} {} on {}, it must be [rows] of {} on {}", i, name_of(scale.dtype()),
                  scale.shape(), scale.device(), target.shape(), target.device());
  }
  scale_rows_kernels(list, list[0].target);
}

}  // namespace tessera::ops
