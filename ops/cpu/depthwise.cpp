// A depthwise convolution does one multiply-add per loaded element and kernel position: no matrix product would help.
// Threads take rows of the output; the weight gradient is summed over a fixed number of row ranges, then over the
// ranges in order.
#include "ops/cpu/depthwise.h"

#include <algorithm>

#include "ops/cpu/gemm.h"

namespace tessera::cpu {

namespace {

// out row (n, i) = what the row sees of image, times the kernel; shared by the forward and the input gradient. `output`
// says what else there is to do, out_row where the row lies in its out and residual.
template <class T, class Row>
void convolve(const Patches& patches, const Tensor& image, const T* by_position, const simd::DepthwiseOutput<T>& output,
              Row out_row) {
  const i64 C = patches.channels;
  const T* from = image.data<T>();
  const auto kernel = simd::depthwise_kernels.get<T>().forward;
#pragma omp parallel if (image.numel() > 20000)
  {
    RowPositions<T> inside;
    std::vector<const T*> weights;
#pragma omp for schedule(static)
    for (i64 row = 0; row < patches.images * patches.grid_h; ++row) {
      const simd::DepthwiseRow<T> line = inside.set(patches, from, row);
      weights.clear();
      for (const i64 position : inside.index) weights.push_back(by_position + position * C);
      simd::DepthwiseOutput<T> here = output;
      here.out += out_row(row);
      if (here.residual) here.residual += out_row(row);
      here.weights = weights.data();
      kernel(line, here);
    }
  }
}

}  // namespace

template <class T>
Tensor depthwise_pack(const Tensor& weight) {
  const i64 C = weight.dim(0), positions = weight.numel() / C;
  Tensor by_position = Tensor::empty({positions, C}, weight.dtype());
  simd::gemm_kernels.get<T>().transpose(weight.data<T>(), positions, C, positions, by_position.data<T>(), C);
  return by_position;
}

template <class T>
void depthwise(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& packed, const Tensor& bias,
               const Tensor& residual, ops::Activation activation, Tensor& y) {
  convolve<T>(forward_patches(dims), x, packed.data<T>(),
              {.out = y.data<T>(),
               .pitch = dims.Co,
               .weights = nullptr,
               .bias = bias.defined() ? bias.data<T>() : nullptr,
               .residual = residual.defined() ? residual.data<T>() : nullptr,
               .relu = activation != ops::Activation::kNone,
               .ceiling = ceiling_of<T>(activation)},
              [&](i64 row) { return row * dims.Wo * dims.Co; });
}

template <class T>
void depthwise_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  const i64 s = dims.stride;
  const Tensor packed = depthwise_pack<T>(weight);
  for (i64 residue = 0; residue < s * s; ++residue) {
    const i64 residue_h = residue / s, residue_w = residue % s;
    const Patches patches = backward_patches(dims, residue_h, residue_w);
    if (patches.rows() == 0) continue;
    const auto out_row = [&](i64 row) {
      const i64 n = row / patches.grid_h, h = row % patches.grid_h * s + residue_h;
      return ((n * dims.H + h) * dims.W + residue_w) * dims.Ci;
    };
    convolve<T>(patches, gy, packed.data<T>(),
                {.out = gx.data<T>(),
                 .pitch = s * dims.Ci,
                 .weights = nullptr,
                 .bias = nullptr,
                 .residual = nullptr,
                 .relu = false,
                 .ceiling = 0},
                out_row);
  }
}

template <class T>
void depthwise_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  constexpr i64 kRanges = 16;
  const Patches patches = forward_patches(dims);
  const i64 C = dims.Ci, positions = dims.Kh * dims.Kw, rows = dims.N * dims.Ho;
  Tensor partial = Tensor::zeros({kRanges, positions, C}, gw.dtype());
  const T *image = x.data<T>(), *gradient = gy.data<T>();
  T *sums = partial.data<T>(), *to = gw.data<T>();
#pragma omp parallel for schedule(dynamic) if (x.numel() > 20000)
  for (i64 range = 0; range < kRanges; ++range) {
    RowPositions<T> inside;
    std::vector<T*> targets;
    for (i64 row = rows * range / kRanges; row < rows * (range + 1) / kRanges; ++row) {
      const simd::DepthwiseRow<T> line = inside.set(patches, image, row);
      targets.clear();
      for (const i64 position : inside.index) targets.push_back(sums + (range * positions + position) * C);
      simd::depthwise_kernels.get<T>().weight(line, gradient + row * dims.Wo * C, targets.data());
    }
  }
  for (i64 c = 0; c < C; ++c)
    for (i64 position = 0; position < positions; ++position) {
      T sum = 0;
      for (i64 range = 0; range < kRanges; ++range) sum += sums[(range * positions + position) * C + c];
      to[c * positions + position] = sum;
    }
}

template Tensor depthwise_pack<float>(const Tensor&);
template Tensor depthwise_pack<double>(const Tensor&);
template void depthwise<float>(const ops::Conv2dDims&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                               ops::Activation, Tensor&);
template void depthwise<double>(const ops::Conv2dDims&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                ops::Activation, Tensor&);
template void depthwise_backward_input<float>(const ops::Conv2dDims&, const Tensor&, const Tensor&, Tensor&);
template void depthwise_backward_input<double>(const ops::Conv2dDims&, const Tensor&, const Tensor&, Tensor&);
template void depthwise_backward_weight<float>(const ops::Conv2dDims&, const Tensor&, const Tensor&, Tensor&);
template void depthwise_backward_weight<double>(const ops::Conv2dDims&, const Tensor&, const Tensor&, Tensor&);

}  // namespace tessera::cpu
