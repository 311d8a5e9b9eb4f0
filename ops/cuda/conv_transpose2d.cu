// Transposed convolution in CUDA: the input gradient of a convolution (ops/cuda/conv2d.cu), then the bias in a pass of
// its own, one thread per pixel and 16 bytes of channels, or one.
#include "ops/conv_transpose2d.h"
#include "ops/cuda/map.h"

namespace tessera {

namespace {

using namespace cuda;

template <class T, int kWidth>
__global__ void add_bias_kernel(MapDims map, const T* bias, T* y) {
  for (const MapPosition at : positions<kWidth>(map)) {
    T* pixel = y + at.index;
    auto sum = Channels<kWidth>::load(pixel);
    sum.add(1, Channels<kWidth>::load(bias + at.c));
    sum.store(pixel);
  }
}

void conv_transpose2d_cuda(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                           Tensor& y) {
  ops::conv2d_backward_input_kernels(dims, x, weight, y);
  if (!bias.defined()) return;
  const MapDims map = map_of(y);
  dispatch_storage(y, [&]<class T>() {
    const T* term = bias.device_data<T>();
    T* to = y.device_data<T>();
    dispatch_pieces<T>(map.C, {term, to},
                       [&]<int kWidth>() { launch<add_bias_kernel<T, kWidth>>(over_map<kWidth>(map), map, term, to); });
  });
}

[[maybe_unused]] const bool kAdded = ops::conv_transpose2d_kernels.add(kDevice, conv_transpose2d_cuda);

}  // namespace

}  // namespace tessera
