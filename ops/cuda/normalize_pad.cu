// Normalising and padding in CUDA; ops/normalize_pad.h states the formula. One thread per value, a block within one
// row: neighbours read neighbouring bytes and write neighbouring floats, of which the channel follows without dividing
// by the picture's width. The twelve bytes written per pixel bound it; the division hides behind them, and needs no
// table.
#include "ops/normalize_pad.h"
#include "ops/scalar/norm.h"
#include "tensor/cuda/launch.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

struct Statistics {
  float mean[3], std[3];
};

// height, width: of the picture; row: values of a row of y.
__global__ void normalize_pad_kernel(i64 height, i64 width, i64 row, Statistics statistics, const u8* image, float* y) {
  const i64 Y = blockIdx.x, i = static_cast<i64>(blockIdx.y) * kThreads + threadIdx.x;
  if (i >= row) return;
  const int c = static_cast<int>(i % 3);
  y[Y * row + i] = Y < height && i < 3 * width
                       ? scalar::standardised(image[Y * 3 * width + i], statistics.mean[c], statistics.std[c])
                       : 0.0f;
}

void normalize_pad_cuda(const Tensor& image, const std::array<float, 3>& mean, const std::array<float, 3>& std,
                        Tensor& y) {
  const i64 row = 3 * y.dim(1);
  const Launch shape{.grid = {static_cast<unsigned>(y.dim(0)), static_cast<unsigned>(ceil_div(row, kThreads))},
                     .block = kThreads};
  launch<normalize_pad_kernel>(shape, image.dim(0), image.dim(1), row,
                               Statistics{{mean[0], mean[1], mean[2]}, {std[0], std[1], std[2]}},
                               image.device_data<u8>(), y.device_data<float>());
}

[[maybe_unused]] const bool kAdded = ops::normalize_pad_kernels.add(kDevice, normalize_pad_cuda);

}  // namespace

}  // namespace tessera
