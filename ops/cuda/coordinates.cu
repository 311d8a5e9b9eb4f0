// Pixel coordinates in CUDA: formula in ops/coordinates.h; a thread per pixel, which writes both numbers at once.
#include "ops/coordinates.h"
#include "tensor/cuda/launch.h"

namespace tessera {

namespace {

using namespace cuda;

__global__ void pixel_coordinates_kernel(i64 pixels, i64 H, i64 W, float2* y) {
  for (const i64 p : indices(pixels))
    y[p] = {static_cast<float>(ops::pixel_coordinate(p % W, W)),
            static_cast<float>(ops::pixel_coordinate(p / W % H, H))};
}

void pixel_coordinates_cuda(Tensor& y) {
  const i64 pixels = y.numel() / 2;
  launch<pixel_coordinates_kernel>(over(pixels), pixels, y.dim(1), y.dim(2),
                                   reinterpret_cast<float2*>(y.device_data<float>()));
}

[[maybe_unused]] const bool kAdded = ops::pixel_coordinates_kernels.add(kDevice, pixel_coordinates_cuda);

}  // namespace

}  // namespace tessera
