#include "ops/coordinates.h"

namespace tessera::ops {

Tensor pixel_coordinates(const Tensor& x) {
  TESSERA_CHECK(x.rank() == 4, "pixel_coordinates: x must be [N, H, W, C], got {}", x.shape());
  Tensor y = Tensor::empty({x.dim(0), x.dim(1), x.dim(2), 2}, x.dtype(), x.device());
  pixel_coordinates_kernels(y);
  return y;
}

}  // namespace tessera::ops
