// Pixel coordinates on the CPU: formula in ops/coordinates.h; a row of the map per thread.
#include "ops/coordinates.h"

namespace tessera {

namespace {

void pixel_coordinates_cpu(Tensor& y) {
  const i64 rows = y.dim(0) * y.dim(1), H = y.dim(1), W = y.dim(2);
  dispatch_float(y.dtype(), "pixel_coordinates", [&]<class T>() {
    T* out = y.data<T>();
#pragma omp parallel for
    for (i64 row = 0; row < rows; ++row)
      for (i64 j = 0; j < W; ++j) {
        T* pixel = out + (row * W + j) * 2;
        pixel[0] = static_cast<T>(ops::pixel_coordinate(j, W));
        pixel[1] = static_cast<T>(ops::pixel_coordinate(row % H, H));
      }
  });
}

[[maybe_unused]] const bool kAdded = ops::pixel_coordinates_kernels.add(DeviceKind::kCpu, pixel_coordinates_cpu);

}  // namespace

}  // namespace tessera
