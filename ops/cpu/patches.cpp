#include "ops/cpu/patches.h"

namespace tessera::cpu {

Patches forward_patches(const ops::Conv2dDims& dims) {
  Patches patches{.images = dims.N,
                  .grid_h = dims.Ho,
                  .grid_w = dims.Wo,
                  .step = dims.stride,
                  .image_h = dims.H,
                  .image_w = dims.W,
                  .channels = dims.Ci,
                  .positions = {}};
  for (i64 kh = 0; kh < dims.Kh; ++kh)
    for (i64 kw = 0; kw < dims.Kw; ++kw)
      patches.add(kh * dims.dilation - dims.padding, kw * dims.dilation - dims.padding, kh * dims.Kw + kw);
  return patches;
}

Patches backward_patches(const ops::Conv2dDims& dims, i64 residue_h, i64 residue_w) {
  const i64 s = dims.stride;
  Patches patches{.images = dims.N,
                  .grid_h = (dims.H - residue_h + s - 1) / s,
                  .grid_w = (dims.W - residue_w + s - 1) / s,
                  .step = 1,
                  .image_h = dims.Ho,
                  .image_w = dims.Wo,
                  .channels = dims.Co,
                  .positions = {}};
  // Input pixel h is read by output pixel o at kernel position k when o s = h + p - k d.
  for (i64 kh = 0; kh < dims.Kh; ++kh)
    for (i64 kw = 0; kw < dims.Kw; ++kw) {
      const i64 h = residue_h + dims.padding - kh * dims.dilation, w = residue_w + dims.padding - kw * dims.dilation;
      if (h % s == 0 && w % s == 0) patches.add(h / s, w / s, kh * dims.Kw + kw);
    }
  return patches;
}

}  // namespace tessera::cpu
