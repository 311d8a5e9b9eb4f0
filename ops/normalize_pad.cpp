#include "ops/normalize_pad.h"

namespace tessera::ops {

Tensor normalize_pad(const std::vector<Tensor>& images, const std::array<float, 3>& mean,
                     const std::array<float, 3>& std, i64 height, i64 width) {
  TESSERA_CHECK(!images.empty(), "normalize_pad: no pictures");
  for (const Tensor& image : images) {
    TESSERA_CHECK(image.defined() && image.rank() == 3 && image.dim(2) == 3 && image.dtype() == DType::kU8,
                  "normalize_pad: a picture must be u8 [h, w, 3], got {} {}", name_of(image.dtype()), image.shape());
    TESSERA_CHECK(image.dim(0) <= height && image.dim(1) <= width,
                  "normalize_pad: a picture of {} x {} does not fit into {} x {}", image.dim(0), image.dim(1), height,
                  width);
  }
  for (const float deviation : std)
    TESSERA_CHECK(deviation > 0, "normalize_pad: std must be positive, got {}", deviation);
  const i64 N = std::ssize(images);
  Tensor y = Tensor::empty({N, height, width, 3}, DType::kF32, images.front().device());
  for (i64 n = 0; n < N; ++n) {
    Tensor place = y.rows(n, n + 1).reshape({height, width, 3});
    normalize_pad_kernels(images[static_cast<size_t>(n)], mean, std, place);
  }
  return y;
}

}  // namespace tessera::ops
