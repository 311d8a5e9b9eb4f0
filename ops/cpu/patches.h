// The patches of a convolution as rows of a matrix that never exists: for every pixel of a grid and every position of
// the kernel, where in the image the channels that it sees begin.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/conv2d.h"

namespace tessera::cpu {

struct Patches {
  i64 images, grid_h, grid_w;      // row = (n * grid_h + i) * grid_w + j
  i64 step;                        // image pixels per grid pixel
  i64 image_h, image_w, channels;  // of the tensor that is read
  struct Position {
    i64 h, w;    // its pixel = (i * step + h, j * step + w), a zero row when outside the image
    i64 index;   // kh * Kw + kw in the weight
    i64 offset;  // elements from the pixel (i * step, j * step) to its pixel
  };
  std::vector<Position> positions;

  void add(i64 h, i64 w, i64 index) { positions.push_back({h, w, index, (h * image_w + w) * channels}); }
  i64 rows() const { return images * grid_h * grid_w; }

  // Calls visit(i, t, pointer) for rows [row, row + count), positions [first, last); `image` may point into a channel
  // group.
  template <class T, class Visit>
  void each(const T* image, const T* zeros, i64 row, i64 count, size_t first, size_t last, Visit visit) const {
    i64 top = 0, bottom = 0, left = 0, right = 0;  // how far the kernel reaches: most pixels have all of it inside
    for (const Position& position : positions) {
      top = std::min(top, position.h), bottom = std::max(bottom, position.h);
      left = std::min(left, position.w), right = std::max(right, position.w);
    }
    i64 j = row % grid_w, i = row / grid_w % grid_h, n = row / (grid_w * grid_h);
    for (i64 r = 0; r < count; ++r) {
      const i64 h0 = i * step, w0 = j * step;
      const T* origin = image + ((n * image_h + h0) * image_w + w0) * channels;
      const bool all = h0 + top >= 0 && h0 + bottom < image_h && w0 + left >= 0 && w0 + right < image_w;
      for (size_t t = first; all && t < last; ++t) visit(r, t, origin + positions[t].offset);
      for (size_t t = first; !all && t < last; ++t) {
        const Position& position = positions[t];
        const bool inside = static_cast<u64>(h0 + position.h) < static_cast<u64>(image_h) &&
                            static_cast<u64>(w0 + position.w) < static_cast<u64>(image_w);
        visit(r, t, inside ? origin + position.offset : zeros);
      }
      if (++j == grid_w) {
        j = 0;
        if (++i == grid_h) i = 0, ++n;
      }
    }
  }
};

// Rows = output pixels, x is read.
Patches forward_patches(const ops::Conv2dDims& dims);

// The input pixels (i s + h, j s + w) for one residue (h, w) mod s, gy is read: with the residue fixed, the set
// of kernel positions that reach a pixel is the same for all of them, so the gradient is an ordinary convolution.
Patches backward_patches(const ops::Conv2dDims& dims, i64 residue_h, i64 residue_w);

}  // namespace tessera::cpu
