// Pixel coordinates in CUDA: formula in ops/coordinates.h; a thread per pixel, which writes both numbers at once.
#include "ops/coordinates.h"
#include "ops/cuda/channels.h"

namespace tessera {

namespace {

using namespace cuda;

template <class T>
__global__ void pixel_coordinates_kernel(i64 pixels, i64 H, i64 W, T* y) {
  for (const i64 p : indices(pixels)) {
    const Channels<2> at{
        {static_cast<float>(ops::pixel_coordinate(p % W, W)), static_cast<float>(ops::pixel_coordinate(p / W % H, H))}};
    at.store(y + 2 * p);
  }
}

void pixel_coordinates_cuda(Tensor& y) {
  const i64 pixels = y.numel() / 2;
  dispatch_storage(y, [&]<class T>() {
    launch<pixel_coordinates_kernel<T>>(over(pixels), pixels, y.dim(1), y.dim(2), y.device_data<T>());
  });
}

[[maybe_unused]] const bool kAdded = ops::pixel_coordinates_kernels.add(kDevice, pixel_coordinates_cuda);

}  // namespace

}  // namespace tessera
