// What ops::mask_runs compares with its threshold and never writes down: a map in the size of the original picture.
#pragma once

#include "models/sparseinst/mask_resampler.h"

namespace tessera::test {

// map [1, h, w] f32 on the CPU, a sum of at most 4 x 4 of its values for each pixel -> [height, width]
inline Tensor enlarged(const Tensor& map, const sparseinst::MaskResampler& resampler) {
  const auto [height, width] = resampler.original;
  const i64 w = map.dim(2);
  Tensor result = Tensor::empty({height, width});
  const Tensor row_index = resampler.rows.index.to_host(), row_weight = resampler.rows.weight.to_host(),
               column_index = resampler.columns.index.to_host(), column_weight = resampler.columns.weight.to_host();
  for (i64 y = 0; y < height; ++y)
    for (i64 x = 0; x < width; ++x) {
      double sum = 0;
      for (i64 t = y * ops::kAxisWeights; t < (y + 1) * ops::kAxisWeights; ++t)
        for (i64 s = x * ops::kAxisWeights; s < (x + 1) * ops::kAxisWeights; ++s)
          sum += double{row_weight.data<float>()[t]} * double{column_weight.data<float>()[s]} *
                 double{map.data<float>()[row_index.data<i32>()[t] * w + column_index.data<i32>()[s]]};
      result.data<float>()[y * width + x] = static_cast<float>(sum);
    }
  return result;
}

}  // namespace tessera::test
