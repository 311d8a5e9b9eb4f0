#include "data/geometry.h"

#include <algorithm>
#include <cstring>

namespace tessera {

namespace {

// Rows of `pixels` pixels of `bytes` bytes, mirrored.
Tensor mirror_rows(const Tensor& source, i64 rows, i64 pixels, i64 bytes) {
  Tensor result = Tensor::empty(source.shape(), DType::kU8);
  const u8* in = source.data<u8>();
  u8* out = result.data<u8>();
  for (i64 row = 0; row < rows; ++row) {
    for (i64 x = 0; x < pixels; ++x) {
      for (i64 b = 0; b < bytes; ++b) out[x * bytes + b] = in[(pixels - 1 - x) * bytes + b];
    }
    in += pixels * bytes;
    out += pixels * bytes;
  }
  return result;
}

// A plane [H, W] with pixels of `bytes` bytes, turned: the pixel (y, x) of the result is the one that a quarter
// clockwise takes to it, (x, W - 1 - y).
void turn_plane(const u8* source, i64 height, i64 width, int quarters, i64 bytes, u8* target) {
  const bool lies = quarters != 2;
  const i64 rows = lies ? width : height, columns = lies ? height : width;
  for (i64 y = 0; y < rows; ++y)
    for (i64 x = 0; x < columns; ++x, target += bytes) {
      const i64 from_y = quarters == 1 ? x : quarters == 2 ? height - 1 - y : height - 1 - x;
      const i64 from_x = quarters == 1 ? width - 1 - y : quarters == 2 ? width - 1 - x : y;
      std::memcpy(target, source + (from_y * width + from_x) * bytes, static_cast<size_t>(bytes));
    }
}

ImageSize turned(ImageSize size, int quarters) {
  return quarters == 2 ? size : ImageSize{size.width, size.height};
}

// A window of a plane [H, W] with pixels of `bytes` bytes.
void copy_window(const u8* source, i64 source_width, const Crop& crop, i64 bytes, u8* target) {
  const i64 row = crop.size.width * bytes;
  for (i64 y = 0; y < crop.size.height; ++y) {
    std::memcpy(target + y * row, source + ((crop.top + y) * source_width + crop.left) * bytes,
                static_cast<size_t>(row));
  }
}

// One step on a picture [H, W, 3].
Tensor map_image(const Flip&, const Tensor& image) {
  return mirror_rows(image, image.dim(0), image.dim(1), 3);
}
Tensor map_image(const Turn& turn, const Tensor& image) {
  const ImageSize size = turned({image.dim(0), image.dim(1)}, turn.quarters);
  Tensor result = Tensor::empty({size.height, size.width, 3}, DType::kU8);
  turn_plane(image.data<u8>(), image.dim(0), image.dim(1), turn.quarters, 3, result.data<u8>());
  return result;
}
Tensor map_image(const Resize& resize, const Tensor& image) {
  return resize_bilinear(image, resize.size);
}
Tensor map_image(const Crop& crop, const Tensor& image) {
  Tensor window = Tensor::empty({crop.size.height, crop.size.width, 3}, DType::kU8);
  copy_window(image.data<u8>(), image.dim(1), crop, 3, window.data<u8>());
  return window;
}

// One step on masks [K, H, W].
Tensor map_masks(const Flip&, const Tensor& masks) {
  return mirror_rows(masks, masks.dim(0) * masks.dim(1), masks.dim(2), 1);
}
Tensor map_masks(const Turn& turn, const Tensor& masks) {
  const i64 height = masks.dim(1), width = masks.dim(2);
  const ImageSize size = turned({height, width}, turn.quarters);
  Tensor result = Tensor::empty({masks.dim(0), size.height, size.width}, DType::kU8);
  for (i64 k = 0; k < masks.dim(0); ++k)
    turn_plane(masks.data<u8>() + k * height * width, height, width, turn.quarters, 1,
               result.data<u8>() + k * height * width);
  return result;
}
Tensor map_masks(const Resize& resize, const Tensor& masks) {
  return resize_nearest(masks, resize.size, resize.masks);
}
Tensor map_masks(const Crop& crop, const Tensor& masks) {
  Tensor windows = Tensor::empty({masks.dim(0), crop.size.height, crop.size.width}, DType::kU8);
  for (i64 k = 0; k < masks.dim(0); ++k) {
    copy_window(masks.data<u8>() + k * masks.dim(1) * masks.dim(2), masks.dim(2), crop, 1,
                windows.data<u8>() + k * crop.size.height * crop.size.width);
  }
  return windows;
}

// One step on points x, y, x, y, ... of a picture of size `from`; an odd trailing number is no point.
void map_points(const Flip&, ImageSize from, std::span<double> points) {
  for (size_t i = 0; i + 1 < points.size(); i += 2) points[i] = static_cast<double>(from.width) - points[i];
}
void map_points(const Turn& turn, ImageSize from, std::span<double> points) {
  const double width = static_cast<double>(from.width), height = static_cast<double>(from.height);
  for (size_t i = 0; i + 1 < points.size(); i += 2) {
    const double x = points[i], y = points[i + 1];
    points[i] = turn.quarters == 1 ? y : turn.quarters == 2 ? width - x : height - y;
    points[i + 1] = turn.quarters == 1 ? width - x : turn.quarters == 2 ? height - y : x;
  }
}
void map_points(const Resize& resize, ImageSize from, std::span<double> points) {
  const double scale_x = static_cast<double>(resize.size.width) / static_cast<double>(from.width);
  const double scale_y = static_cast<double>(resize.size.height) / static_cast<double>(from.height);
  for (size_t i = 0; i + 1 < points.size(); i += 2) {
    points[i] *= scale_x;
    points[i + 1] *= scale_y;
  }
}
void map_points(const Crop& crop, ImageSize, std::span<double> points) {
  for (size_t i = 0; i + 1 < points.size(); i += 2) {
    points[i] -= static_cast<double>(crop.left);
    points[i + 1] -= static_cast<double>(crop.top);
  }
}
void map_points(const GeometryStep& step, ImageSize from, std::span<double> points) {
  std::visit([&](const auto& kind) { map_points(kind, from, points); }, step);
}

// Sutherland & Hodgman, "Reentrant polygon clipping", CACM 1974, against one side of a window: keeps what satisfies
// sign * coordinate >= sign * limit, for coordinate x (axis 0) or y (axis 1).
Polygon clip_side(const Polygon& polygon, int axis, double sign, double limit) {
  Polygon kept;
  const size_t points = polygon.size() / 2;
  for (size_t i = 0; i < points; ++i) {
    const double* a = &polygon[2 * i];
    const double* b = &polygon[2 * ((i + 1) % points)];
    const bool a_inside = sign * a[axis] >= sign * limit, b_inside = sign * b[axis] >= sign * limit;
    if (a_inside) kept.insert(kept.end(), {a[0], a[1]});
    if (a_inside == b_inside) continue;
    const double t = (limit - a[axis]) / (b[axis] - a[axis]);
    double crossing[2] = {a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])};
    crossing[axis] = limit;
    kept.insert(kept.end(), {crossing[0], crossing[1]});
  }
  return kept;
}

Polygon clip(Polygon polygon, const Crop& crop) {
  const double left = static_cast<double>(crop.left), right = static_cast<double>(crop.left + crop.size.width);
  const double top = static_cast<double>(crop.top), bottom = static_cast<double>(crop.top + crop.size.height);
  polygon = clip_side(polygon, 0, 1, left);
  polygon = clip_side(polygon, 0, -1, right);
  polygon = clip_side(polygon, 1, 1, top);
  return clip_side(polygon, 1, -1, bottom);
}

bool has_area(const Polygon& polygon) {
  if (polygon.size() < 6) return false;
  double left = polygon[0], right = left, top = polygon[1], bottom = top;
  for (size_t i = 0; i < polygon.size(); i += 2) {
    left = std::min(left, polygon[i]), right = std::max(right, polygon[i]);
    top = std::min(top, polygon[i + 1]), bottom = std::max(bottom, polygon[i + 1]);
  }
  return right > left && bottom > top;
}

}  // namespace

Geometry& Geometry::flip() {
  steps_.emplace_back(Flip{});
  sizes_.push_back(size());
  return *this;
}

Geometry& Geometry::turn(int quarters) {
  TESSERA_CHECK(quarters >= 1 && quarters <= 3, "geometry: {} quarter turns, expected 1 to 3", quarters);
  steps_.emplace_back(Turn{quarters});
  sizes_.push_back(turned(size(), quarters));
  return *this;
}

Geometry& Geometry::resize(ImageSize size, Nearest masks) {
  TESSERA_CHECK(size.height > 0 && size.width > 0, "geometry: cannot resize to {} x {}", size.height, size.width);
  steps_.emplace_back(Resize{size, masks});
  sizes_.push_back(size);
  return *this;
}

Geometry& Geometry::crop(i64 top, i64 left, ImageSize size) {
  const ImageSize from = this->size();
  TESSERA_CHECK(top >= 0 && left >= 0 && size.height > 0 && size.width > 0 && top + size.height <= from.height &&
                    left + size.width <= from.width,
                "geometry: the window {} x {} at ({}, {}) does not lie in a picture of {} x {}", size.height,
                size.width, top, left, from.height, from.width);
  steps_.emplace_back(Crop{top, left, size});
  sizes_.push_back(size);
  return *this;
}

bool Geometry::crops() const {
  return std::ranges::any_of(steps_, [](const GeometryStep& step) { return std::holds_alternative<Crop>(step); });
}

Tensor Geometry::apply_to_image(const Tensor& image) const {
  TESSERA_CHECK(image.dtype() == DType::kU8 && image.shape() == (Shape{source().height, source().width, 3}),
                "geometry: expected a picture u8 [{}, {}, 3], got {} {}", source().height, source().width,
                name_of(image.dtype()), image.shape());
  Tensor result = image;
  for (const GeometryStep& step : steps_) {
    result = std::visit([&](const auto& kind) { return map_image(kind, result); }, step);
  }
  return result;
}

Tensor Geometry::apply_to_masks(const Tensor& masks) const {
  TESSERA_CHECK(masks.dtype() == DType::kU8 && masks.rank() == 3 && masks.dim(1) == source().height &&
                    masks.dim(2) == source().width,
                "geometry: expected masks u8 [K, {}, {}], got {} {}", source().height, source().width,
                name_of(masks.dtype()), masks.shape());
  Tensor result = masks;
  for (const GeometryStep& step : steps_) {
    result = std::visit([&](const auto& kind) { return map_masks(kind, result); }, step);
  }
  return result;
}

std::vector<Polygon> Geometry::apply_to_polygons(std::vector<Polygon> polygons) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (const Crop* crop = std::get_if<Crop>(&steps_[i])) {
      for (Polygon& polygon : polygons) polygon = clip(std::move(polygon), *crop);
      std::erase_if(polygons, [](const Polygon& polygon) { return !has_area(polygon); });
    }
    for (Polygon& polygon : polygons) map_points(steps_[i], sizes_[i], polygon);
  }
  return polygons;
}

Box Geometry::apply_to_box(Box box) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    map_points(steps_[i], sizes_[i], box);
    if (box[0] > box[2]) std::swap(box[0], box[2]);  // flips and turns exchange the sides
    if (box[1] > box[3]) std::swap(box[1], box[3]);
  }
  for (size_t i = 0; i < 4; ++i) {
    box[i] = std::clamp(box[i], 0.0, static_cast<double>(i % 2 == 0 ? size().width : size().height));
  }
  return box;
}

}  // namespace tessera
