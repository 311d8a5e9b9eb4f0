// Geometry of pictures and their annotations.
//
// A Geometry is a chain of flips, quarter turns, resizes and crops, chosen once and then applied to the picture, to
// masks, to polygons and to boxes alike, step by step in the same order: annotations follow the picture by
// construction.
#pragma once

#include <array>
#include <variant>
#include <vector>

#include "data/image.h"
#include "data/resize.h"
#include "tensor/tensor.h"

namespace tessera {

using Polygon = std::vector<double>;  // x0, y0, x1, y1, ...; (0, 0) is the outer corner of the first pixel
using Box = std::array<double, 4>;    // x0, y0, x1, y1

struct Flip {};  // left and right are exchanged
struct Turn {
  int quarters;  // 1, 2 or 3, counterclockwise: numpy's rot90
};
struct Resize {
  ImageSize size;
  Nearest masks;
};
struct Crop {
  i64 top, left;
  ImageSize size;
};
using GeometryStep = std::variant<Flip, Turn, Resize, Crop>;

class Geometry {
 public:
  explicit Geometry(ImageSize source) : sizes_{source} {}

  // Each adds a step. Quarters other than 1, 2 and 3, an empty size or a crop that reaches out of the picture is an
  // error.
  Geometry& flip();
  Geometry& turn(int quarters);
  Geometry& resize(ImageSize size, Nearest masks = Nearest::kPil);
  Geometry& crop(i64 top, i64 left, ImageSize size);

  ImageSize source() const { return sizes_.front(); }
  ImageSize size() const { return sizes_.back(); }  // after all steps
  bool crops() const;

  // u8 [H, W, 3] of the source size; resized bilinearly with antialiasing (data/resize.h).
  Tensor apply_to_image(const Tensor& image) const;
  // u8 [K, H, W] of the source size; resized by nearest, each resize by its rule.
  Tensor apply_to_masks(const Tensor& masks) const;
  // Coordinates are mapped; at a crop polygons are clipped to the window, and those left without area are dropped.
  std::vector<Polygon> apply_to_polygons(std::vector<Polygon> polygons) const;
  // The box of the mapped corners, clipped to the final picture.
  Box apply_to_box(Box box) const;

 private:
  std::vector<GeometryStep> steps_;
  std::vector<ImageSize> sizes_;  // before the first step, then after each
};

}  // namespace tessera
