// U = G w G^T of each kernel, as panels for the matrix product.
#include <algorithm>
#include <vector>

#include "ops/cpu/winograd.h"
#include "ops/cpu/winograd_form.h"

namespace tessera::cpu {

// A job is a vector of output channels: their weights side by side, kDepth input channels at a time, then transformed.
template <class T>
Tensor winograd_pack(const Tensor& weight, i64 groups) {
  const i64 I = weight.dim(3);
  const WinogradForm<T> form{I, weight.dim(0) / groups};
  Tensor packed = Tensor::empty({groups, form.size()}, weight.dtype());
  const T* w = weight.data<T>();
  T* out = packed.data<T>();
  const i64 lanes = form.lanes, vectors = ceil_div(form.columns, lanes);
#pragma omp parallel
  {
    std::vector<T> side_by_side(static_cast<size_t>(9 * form.kDepth * lanes));
#pragma omp for schedule(static)
    for (i64 job = 0; job < groups * vectors; ++job) {
      const i64 group = job / vectors, o = job % vectors * lanes, live = std::min(lanes, form.columns - o);
      const i64 column = o / form.block_width() * form.block_width(), in_block = o - column;
      const i64 first = in_block / form.panel * form.panel;
      const i64 width = form.padded(std::min(form.block_width(), form.columns - column));
      const i64 stride = std::min(form.panel, width - first);
      for (i64 k = 0; k < I; k += form.kDepth) {
        const i64 length = std::min(form.kDepth, I - k);
        if (live < lanes) std::fill(side_by_side.begin(), side_by_side.end(), T(0));
        for (i64 t = 0; t < 9; ++t)
          simd::gemm_kernels.get<T>().transpose(w + ((group * form.columns + o) * 9 + t) * I + k, 9 * I, live, length,
                                                side_by_side.data() + t * length * lanes, lanes);
        simd::winograd_kernels.get<T>().weight(
            side_by_side.data(), length,
            out + group * form.size() + form.offset(column, 0, k) + first * length + in_block - first, I * width,
            stride);
      }
    }
  }
  return packed;
}

template Tensor winograd_pack<float>(const Tensor&, i64);
template Tensor winograd_pack<double>(const Tensor&, i64);

}  // namespace tessera::cpu
