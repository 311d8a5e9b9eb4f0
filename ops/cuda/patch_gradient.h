// The gradient of the weight in a product of patches (ops/cuda/patch_product.h), on tensor cores:
//
//   gw[column, t, i] = sum over the rows of gy[row, column] A[row, t, i]      A [rows, positions, width]
//
// The rows are cut into parts, so that there are blocks enough to fill a GPU; their sums are added in order. Block x:
// tile of columns, block y: position and tile of the width.
#pragma once

#include "ops/cuda/patch_product.h"

namespace tessera::cuda {

// gradient(row, column) and patch(row, t, i): where gy and A lie from there on; null for zeros. put(column, t, i, sum)
// stores a sum over the rows of a part.
template <class Tile, class Gradient, class Patch, class Put>
__device__ void patch_gradient(const PatchDims& d, int part, int part_rows, const Gradient& gradient,
                               const Patch& patch, const Put& put) {
  const int t = static_cast<int>(blockIdx.y) % d.positions;
  const int first_column = static_cast<int>(blockIdx.x) * Tile::kRows,
            first_i = static_cast<int>(blockIdx.y) / d.positions * Tile::kColumns;
  const int begin = part * part_rows, end = std::min(begin + part_rows, d.rows);
  const auto gradients = [&](int k) {
    return [&, row = begin + k](int index) {
      const int column = first_column + index;
      return row < end && column < d.columns ? gradient(row, column) : nullptr;
    };
  };
  const auto patches = [&](int k) {
    return [&, row = begin + k](int index) {
      const int i = first_i + index;
      return row < end && i < d.width ? patch(row, t, i) : nullptr;
    };
  };
  Tile product;
  product.run((end - begin + Tile::kDepth - 1) / Tile::kDepth,
              CopiedSteps<Tile, Tile::kRows, decltype(gradients)>(gradients),
              CopiedSteps<Tile, Tile::kColumns, decltype(patches)>(patches));
  product.each([&](int index, int at, float sum) {
    const int column = first_column + index, i = first_i + at;
    if (column < d.columns && i < d.width) put(column, t, i, sum);
  });
}

template <class T>
__global__ void add_parts_kernel(i64 n, i64 parts, const float* sums, T* gw) {
  for (const i64 i : indices(n)) {
    float sum = 0;
    for (i64 part = 0; part < parts; ++part) sum += sums[part * n + i];
    store(gw + i, sum);
  }
}

// launch_at(rows of a part, parts, [parts, gw]) for a gradient whose parts take so many blocks each.
template <class T, class LaunchAt>
void in_parts(i64 rows, i64 blocks, Tensor& gw, const LaunchAt& launch_at) {
  constexpr i64 kBlocks = 512, kFewestRows = 128;  // worth having; worth a part
  const i64 most = std::max<i64>(1, std::min(ceil_div(kBlocks, blocks), ceil_div(rows, kFewestRows)));
  const i64 part_rows = std::max<i64>(1, ceil_div(rows, most)), parts = std::max<i64>(1, ceil_div(rows, part_rows));
  const bool direct = parts == 1 && gw.dtype() == DType::kF32;
  Tensor sums = direct ? gw : Tensor::empty({parts, gw.numel()}, DType::kF32, gw.device());
  launch_at(part_rows, parts, sums.device_data<float>());
  if (!direct)
    launch<add_parts_kernel<T>>(over(gw.numel()), gw.numel(), parts, sums.device_data<float>(), gw.device_data<T>());
}

}  // namespace tessera::cuda
