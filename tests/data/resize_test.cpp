#include "data/resize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "tests/support/check_error.h"

namespace tessera {
namespace {

u8 pattern(i64 y, i64 x) {
  return static_cast<u8>(x * 37 + y * 91 + x * y % 7 * 13);
}

Tensor grey_pattern(i64 height, i64 width) {
  Tensor image = Tensor::empty({height, width}, DType::kU8);
  u8* out = image.data<u8>();
  for (i64 y = 0; y < height; ++y) {
    for (i64 x = 0; x < width; ++x) *out++ = pattern(y, x);
  }
  return image;
}

Tensor colour_pattern(i64 height, i64 width) {
  Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
  u8* out = image.data<u8>();
  for (i64 y = 0; y < height; ++y) {
    for (i64 x = 0; x < width; ++x) {
      *out++ = pattern(y, x);
      *out++ = static_cast<u8>(x * 5 + y * 3);
      *out++ = static_cast<u8>(x * x + y * y * 7);
    }
  }
  return image;
}

std::vector<int> values(const Tensor& image) {
  return {image.span<u8>().begin(), image.span<u8>().end()};
}

u64 fnv(const Tensor& image) {
  u64 hash = 0xCBF29CE484222325;
  for (u8 value : image.span<u8>()) hash = (hash ^ value) * 0x100000001B3;
  return hash;
}

TEST_CASE("resize_bilinear: a small picture gives PIL's values, shrinking and growing") {
  const Tensor image = grey_pattern(6, 7);
  CHECK(values(resize_bilinear(image, {4, 5})) == std::vector<int>{48, 100, 142, 124, 176, 153, 148, 138, 108, 157,
                                                                   92, 156, 125, 159, 112, 144, 105, 74,  134, 160});
  CHECK(values(resize_bilinear(image, {6, 3})) ==
        std::vector<int>{32, 111, 190, 134, 166, 92, 181, 103, 159, 82, 175, 154, 165, 82, 95, 102, 94, 182});
  CHECK(values(resize_bilinear(image, {2, 7})) ==
        std::vector<int>{82, 135, 124, 166, 101, 143, 164, 117, 139, 136, 80, 120, 161, 126});
  const std::vector<int> grown = values(resize_bilinear(image, {9, 11}));
  CHECK(std::vector<int>(grown.begin(), grown.begin() + 22) == std::vector<int>{0,   17,  40,  64,  87,  111, 135, 158,
                                                                                182, 205, 222, 46,  66,  93,  121, 148,
                                                                                176, 123, 104, 131, 159, 179});
}

TEST_CASE("resize_bilinear: whole colour pictures equal PIL's bit for bit") {
  const Tensor image = colour_pattern(61, 97);
  CHECK(fnv(resize_bilinear(image, {40, 53})) == 0x1fee2898286c921d);
  CHECK(fnv(resize_bilinear(image, {61, 200})) == 0xe36f99efbbe8ee62);
  CHECK(fnv(resize_bilinear(image, {130, 97})) == 0x73b308429adbf22);
  CHECK(fnv(resize_bilinear(image, {128, 203})) == 0x7dd7dd6ce6468534);
  CHECK(fnv(resize_bilinear(image, {7, 9})) == 0xa5d54e4aaaa7a613);
  CHECK(fnv(resize_bilinear(image, {1, 1})) == 0x2fba381ae17d4af2);
  CHECK(fnv(resize_bilinear(image, {61, 97})) == fnv(image));
}

TEST_CASE("resize_bilinear: a constant picture stays constant up to white") {
  for (const int value : {0, 1, 127, 255}) {
    const Tensor image = Tensor::full({37, 51, 3}, value, DType::kU8);
    for (const ImageSize size : {ImageSize{11, 7}, ImageSize{100, 333}}) {
      const Tensor resized = resize_bilinear(image, size);
      for (const u8 pixel : resized.span<u8>()) REQUIRE(pixel == value);
    }
  }
}

TEST_CASE("resize_nearest: by PyTorch's rule takes the pixel at floor(position * in / out), the quotient in f32") {
  const Tensor row = Tensor::from(std::vector<u8>{0, 1, 2, 3, 4}, {1, 1, 5});
  CHECK(values(resize_nearest(row, {1, 3}, Nearest::kPyTorch)) == std::vector<int>{0, 1, 3});
  CHECK(values(resize_nearest(row, {1, 3})) == std::vector<int>{0, 2, 4});  // PIL's: under the centres
  CHECK(values(resize_nearest(row, {2, 8}, Nearest::kPyTorch)) ==
        std::vector<int>{0, 0, 1, 1, 2, 3, 3, 4, 0, 0, 1, 1, 2, 3, 3, 4});
  Tensor long_row = Tensor::empty({1, 1, 125}, DType::kU8);
  for (i64 i = 0; i < 125; ++i) long_row.data<u8>()[i] = static_cast<u8>(i);
  for (i64 width = 1; width < 400; ++width)
    CHECK(values(resize_nearest(long_row, {1, width}, Nearest::kPyTorch)).back() <= 124);
}

TEST_CASE("resize_nearest: takes PIL's pixels") {
  const Tensor resized = resize_nearest(grey_pattern(6, 7).reshape({1, 6, 7}), {4, 10});
  CHECK(resized.shape() == Shape{1, 4, 10});
  CHECK(values(resized) == std::vector<int>{0,   37,  37,  74,  111, 111, 148, 185, 185, 222, 182, 245, 245, 52,
                                            115, 115, 87,  150, 150, 213, 17,  93,  93,  169, 154, 154, 230, 215,
                                            215, 35,  199, 45,  45,  56,  67,  67,  169, 180, 180, 191});
  CHECK(resize_nearest(Tensor::zeros({0, 6, 7}, DType::kU8), {3, 3}).shape() == Shape{0, 3, 3});
}

TEST_CASE("resize: wrong types and empty sizes are errors") {
  CHECK_ERROR(resize_bilinear(Tensor::zeros({4, 4, 3}), {2, 2}), "expected u8 [H, W, 3] or [H, W]");
  CHECK_ERROR(resize_bilinear(Tensor::zeros({4, 4, 2}, DType::kU8), {2, 2}), "expected u8");
  CHECK_ERROR(resize_bilinear(Tensor::zeros({4, 4, 3}, DType::kU8), {0, 2}), "4 x 4 to 0 x 2");
  CHECK_ERROR(resize_bilinear(Tensor::zeros({0, 4, 3}, DType::kU8), {2, 2}), "sides must be 1 to");
  CHECK_ERROR(resize_nearest(Tensor::zeros({4, 4}, DType::kU8), {2, 2}), "expected u8 [K, H, W]");
  CHECK_ERROR(resize_nearest(Tensor::zeros({1, 4, 4}, DType::kU8), {2, -1}), "sides must be 1 to");
}

}  // namespace
}  // namespace tessera
