#include "data/draw.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/support/check_error.h"

using namespace tessera;

namespace {
Colour pixel(const Tensor& image, i64 y, i64 x) {
  const u8* at = image.data<u8>() + (y * image.dim(1) + x) * 3;
  return {at[0], at[1], at[2]};
}
const Tensor kBlack = Tensor::zeros({40, 60, 3}, DType::kU8);
}  // namespace

TEST_CASE("draw: neighbouring instance colours are far apart") {
  for (i64 i = 0; i < 20; ++i) {
    const Colour a = colour_of(i), b = colour_of(i + 1);
    CHECK(std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]) > 100);
  }
}

TEST_CASE("draw: a mask is blended where it is set and nowhere else") {
  Tensor image = kBlack.clone(), mask = Tensor::zeros({40, 60}, DType::kU8);
  mask.data<u8>()[5 * 60 + 7] = 1;
  blend_mask(image, mask, {200, 100, 50}, 0.5);
  CHECK(pixel(image, 5, 7) == Colour{100, 50, 25});
  CHECK(pixel(image, 5, 8) == Colour{0, 0, 0});
  CHECK_ERROR(blend_mask(image, Tensor::zeros({3, 3}, DType::kU8), {}, 0.5), "mask [3, 3] on an image of 40 x 60");
}

TEST_CASE("draw: an outline is the border of the mask, also where the image cuts it") {
  Tensor image = kBlack.clone(), mask = Tensor::full({40, 60}, 1, DType::kU8);
  outline_mask(image, mask, {9, 9, 9});
  CHECK(pixel(image, 0, 30) == Colour{9, 9, 9});
  CHECK(pixel(image, 39, 59) == Colour{9, 9, 9});
  CHECK(pixel(image, 1, 1) == Colour{0, 0, 0});
}

TEST_CASE("draw: a thick outline reaches as many pixels into the mask") {
  Tensor image = kBlack.clone(), mask = Tensor::full({40, 60}, 1, DType::kU8);
  outline_mask(image, mask, {9, 9, 9}, 3);
  CHECK(pixel(image, 2, 30) == Colour{9, 9, 9});
  CHECK(pixel(image, 3, 30) == Colour{0, 0, 0});
}

TEST_CASE("draw: boxes and text outside the image are clipped, not written elsewhere") {
  Tensor image = kBlack.clone();
  draw_box(image, -10, -10, 200, 200, {1, 2, 3}, 2);
  CHECK(std::set<u8>(image.span<u8>().begin(), image.span<u8>().end()) == std::set<u8>{0});
  draw_box(image, 50, 30, 100, 100, {1, 2, 3}, 2);
  CHECK(pixel(image, 30, 55) == Colour{1, 2, 3});
  draw_text(image, 500, 500, "person 0.97 \xC3\xA9\x01", 30, {250, 250, 0});
  CHECK(pixel(image, 39, 0) == Colour{250, 250, 0});
  draw_text(image, -500, -500, "W", 400, {250, 250, 0});  // larger than the image
  CHECK_ERROR(draw_text(image, 0, 0, "W", 0, {}), "a height of at least 1 is needed, got 0");
}

namespace {
// Pixels of black ink in a line of text.
i64 ink(std::string_view text) {
  const ImageSize size = text_size(text, 30);
  Tensor image = Tensor::zeros({size.height, size.width, 3}, DType::kU8);
  draw_text(image, 0, 0, text, 30, {250, 250, 250});
  return std::ranges::count_if(image.span<u8>(), [](u8 value) { return value < 125; }) / 3;
}
}  // namespace

TEST_CASE("draw: text is UTF-8: each character has its own ink, and what is no UTF-8 that of U+FFFD") {
  CHECK(ink("A") > 50);
  CHECK(ink(" ") == 0);
  CHECK(ink("\u00E9") > ink("e"));  // the accent
  CHECK(ink("\u00E9") < ink("ee"));
  CHECK(text_size("\u00E9", 30) == text_size("e", 30));
  CHECK(text_size("\u0416", 30).width > text_size("i", 30).width);
  for (const char* broken : {"\xE9", "\x80", "\xFF"}) CHECK(ink(broken) == ink("\uFFFD"));
  CHECK(text_size("\xF0\x9F", 30) == text_size("\uFFFD\uFFFD", 30));  // cut off
  CHECK(text_size("", 30).width == 15);                               // the margins
}

TEST_CASE("draw: enlarging repeats pixels and two pictures stand side by side") {
  Tensor image = Tensor::zeros({2, 2, 3}, DType::kU8);
  image.data<u8>()[3] = 77;
  const Tensor large = enlarge(image, 3);
  CHECK(large.shape() == Shape{6, 6, 3});
  CHECK(pixel(large, 2, 5)[0] == 77);
  CHECK(pixel(large, 3, 5)[0] == 0);
  CHECK(beside(large, large).shape() == Shape{6, 16, 3});
  CHECK_ERROR(beside(large, image), "equal height");
}

TEST_CASE("draw: a heat map is brightest where the map is highest") {
  Tensor map = Tensor::zeros({40, 60});
  map.data<float>()[0] = 3;
  const Tensor heat = heat_map(kBlack, map);
  CHECK(pixel(heat, 0, 0) == Colour{255, 255, 255});
  CHECK(pixel(heat, 5, 5) == Colour{0, 0, 0});
}

TEST_CASE("draw: tiles stand row by row with white gaps, and places that are left over are white") {
  const Tensor grey = Tensor::full({2, 3, 3}, 90, DType::kU8), black = Tensor::zeros({2, 3, 3}, DType::kU8);
  const Tensor picture = tiled({grey, black, black}, 2);
  CHECK(picture.shape() == Shape{8, 10, 3});
  CHECK(pixel(picture, 1, 2) == Colour{90, 90, 90});
  CHECK(pixel(picture, 0, 3) == Colour{255, 255, 255});
  CHECK(pixel(picture, 1, 7) == Colour{0, 0, 0});
  CHECK(pixel(picture, 6, 0) == Colour{0, 0, 0});
  CHECK(pixel(picture, 6, 7) == Colour{255, 255, 255});
  CHECK_ERROR(tiled({grey, kBlack}, 2), "images of one size are needed, got [2, 3, 3] and [40, 60, 3]");
}
