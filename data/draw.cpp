#include "data/draw.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace tessera {

namespace {

constexpr i64 kGap = 4;  // between pictures side by side

struct Canvas {
  u8* data;
  i64 height, width;
};

Canvas canvas_of(Tensor& image, const char* function) {
  TESSERA_CHECK(image.rank() == 3 && image.dim(2) == 3, "{}: the image must be u8 [H, W, 3], got {}", function,
                image.shape());
  return {image.data<u8>(), image.dim(0), image.dim(1)};
}

const u8* mask_of(const Tensor& mask, const Canvas& canvas, const char* function) {
  TESSERA_CHECK(mask.shape() == (Shape{canvas.height, canvas.width}), "{}: mask {} on an image of {} x {}", function,
                mask.shape(), canvas.height, canvas.width);
  return mask.data<u8>();
}

void fill_rectangle(const Canvas& canvas, i64 x0, i64 y0, i64 x1, i64 y1, Colour colour) {
  x0 = std::max<i64>(x0, 0), y0 = std::max<i64>(y0, 0);
  x1 = std::min(x1, canvas.width), y1 = std::min(y1, canvas.height);
  for (i64 y = y0; y < y1; ++y)
    for (i64 x = x0; x < x1; ++x) std::copy(colour.begin(), colour.end(), canvas.data + (y * canvas.width + x) * 3);
}

}  // namespace

Colour colour_of(i64 index) {
  const double hue = std::fmod(0.07 + 0.381966011250105 * static_cast<double>(index), 1.0) * 6;
  const auto channel = [&](double shift) {
    const double distance = std::abs(std::fmod(hue + shift, 6.0) - 3.0) - 1.0;
    return static_cast<u8>(std::lround(255 * (0.15 + 0.85 * std::clamp(distance, 0.0, 1.0))));
  };
  return {channel(0), channel(4), channel(2)};
}

void blend_mask(Tensor& image, const Tensor& mask, Colour colour, double opacity) {
  const Canvas canvas = canvas_of(image, "blend_mask");
  const u8* set = mask_of(mask, canvas, "blend_mask");
  u8 blended[256][3];  // of each value of a channel
  for (int value = 0; value < 256; ++value)
    for (int c = 0; c < 3; ++c)
      blended[value][c] =
          static_cast<u8>(std::lround((1 - opacity) * value + opacity * colour[static_cast<size_t>(c)]));
  for (i64 i = 0; i < canvas.height * canvas.width; ++i) {
    if (!set[i]) continue;
    u8* pixel = canvas.data + i * 3;
    for (int c = 0; c < 3; ++c) pixel[c] = blended[pixel[c]][c];
  }
}

void outline_mask(Tensor& image, const Tensor& mask, Colour colour, i64 thickness) {
  const Canvas canvas = canvas_of(image, "outline_mask");
  const u8* set = mask_of(mask, canvas, "outline_mask");
  const auto inside = [&](i64 y, i64 x) {
    return y >= 0 && y < canvas.height && x >= 0 && x < canvas.width && set[y * canvas.width + x];
  };
  const auto on_border = [&](i64 y, i64 x) {
    for (i64 d = 1; d <= thickness; ++d)
      if (!(inside(y - d, x) && inside(y + d, x) && inside(y, x - d) && inside(y, x + d))) return true;
    return false;
  };
  for (i64 y = 0; y < canvas.height; ++y)
    for (i64 x = 0; x < canvas.width; ++x)
      if (set[y * canvas.width + x] && on_border(y, x)) fill_rectangle(canvas, x, y, x + 1, y + 1, colour);
}

void draw_box(Tensor& image, i64 x, i64 y, i64 width, i64 height, Colour colour, i64 thickness) {
  const Canvas canvas = canvas_of(image, "draw_box");
  fill_rectangle(canvas, x, y, x + width, y + thickness, colour);
  fill_rectangle(canvas, x, y + height - thickness, x + width, y + height, colour);
  fill_rectangle(canvas, x, y, x + thickness, y + height, colour);
  fill_rectangle(canvas, x + width - thickness, y, x + width, y + height, colour);
}

Tensor enlarge(const Tensor& image, i64 factor) {
  TESSERA_CHECK(image.rank() >= 2 && factor >= 1,
                "enlarge: an image of rank 2 or 3 and a factor of at least 1 are needed, got {} and {}", image.shape(),
                factor);
  Shape shape = image.shape();
  const i64 height = shape[0], width = shape[1], channels = shape.numel(2, shape.rank());
  shape[0] *= factor, shape[1] *= factor;
  Tensor result = Tensor::empty(shape, DType::kU8);
  const u8* from = image.data<u8>();
  u8* to = result.data<u8>();
  for (i64 y = 0; y < height; ++y) {
    const u8* row = to;
    for (i64 x = 0; x < width; ++x, from += channels)
      for (i64 i = 0; i < factor; ++i)
        for (i64 c = 0; c < channels; ++c) *to++ = from[c];
    for (i64 i = 1; i < factor; ++i) to = std::copy(row, row + shape[1] * channels, to);
  }
  return result;
}

Tensor beside(const Tensor& left, const Tensor& right) {
  TESSERA_CHECK(left.rank() == 3 && right.rank() == 3 && left.dim(0) == right.dim(0),
                "beside: images of equal height are needed, got {} and {}", left.shape(), right.shape());
  const i64 height = left.dim(0), width = left.dim(1) + kGap + right.dim(1);
  Tensor result = Tensor::full({height, width, 3}, 255, DType::kU8);
  for (i64 y = 0; y < height; ++y) {
    std::copy_n(left.data<u8>() + y * left.dim(1) * 3, left.dim(1) * 3, result.data<u8>() + y * width * 3);
    std::copy_n(right.data<u8>() + y * right.dim(1) * 3, right.dim(1) * 3,
                result.data<u8>() + (y * width + left.dim(1) + kGap) * 3);
  }
  return result;
}

Tensor tiled(const std::vector<Tensor>& images, i64 columns) {
  TESSERA_CHECK(!images.empty() && columns > 0 && images[0].rank() == 3,
                "tiled: images [H, W, 3] and columns are needed");
  const i64 count = static_cast<i64>(images.size()), rows = (count + columns - 1) / columns;
  const i64 height = images[0].dim(0), width = images[0].dim(1);
  const Shape shape = {rows * (height + kGap) - kGap, columns * (width + kGap) - kGap, 3};
  Tensor result = Tensor::full(shape, 255, DType::kU8);
  for (i64 i = 0; i < count; ++i) {
    const Tensor& image = images[static_cast<size_t>(i)];
    TESSERA_CHECK(image.shape() == images[0].shape(), "tiled: images of one size are needed, got {} and {}",
                  images[0].shape(), image.shape());
    const i64 top = i / columns * (height + kGap), left = i % columns * (width + kGap);
    for (i64 y = 0; y < height; ++y)
      std::copy_n(image.data<u8>() + y * width * 3, width * 3, result.data<u8>() + ((top + y) * shape[1] + left) * 3);
  }
  return result;
}

Tensor heat_map(const Tensor& image, const Tensor& map) {
  Tensor result = image.clone();
  const Canvas canvas = canvas_of(result, "heat_map");
  TESSERA_CHECK(map.shape() == (Shape{canvas.height, canvas.width}), "heat_map: map {} on image {}", map.shape(),
                image.shape());
  const float* values = map.data<float>();
  const float highest = std::max(*std::max_element(values, values + map.numel()), 1e-12f);
  for (i64 i = 0; i < map.numel(); ++i) {
    const double heat = std::clamp(values[i] / highest, 0.0f, 1.0f);
    // black - red - yellow - white
    const double ramp[3] = {std::min(1.0, 2.5 * heat), std::clamp(2.5 * heat - 0.9, 0.0, 1.0),
                            std::clamp(4 * heat - 3, 0.0, 1.0)};
    for (int c = 0; c < 3; ++c) {
      u8& value = canvas.data[i * 3 + c];
      value = static_cast<u8>(std::lround((1 - heat) * 0.35 * value + heat * 255 * ramp[c]));
    }
  }
  return result;
}

}  // namespace tessera
