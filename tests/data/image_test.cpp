#include "data/image.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "data/image_container.h"
#include "tensor/file.h"
#include "tensor/random.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

using test::TemporaryFolder;

// Four smooth colours in the corners, so that JPEG keeps them and every orientation looks different.
Tensor corners_image(i64 height, i64 width) {
  Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
  u8* out = image.data<u8>();
  for (i64 y = 0; y < height; ++y) {
    for (i64 x = 0; x < width; ++x) {
      *out++ = static_cast<u8>(x * 255 / (width - 1));
      *out++ = static_cast<u8>(y * 255 / (height - 1));
      *out++ = 40;
    }
  }
  return image;
}

std::array<int, 3> pixel(const Tensor& image, i64 y, i64 x) {
  const u8* p = image.data<u8>() + (y * image.dim(1) + x) * 3;
  return {p[0], p[1], p[2]};
}

bool near(std::array<int, 3> a, std::array<int, 3> b, int tolerance) {
  for (int c = 0; c < 3; ++c) {
    if (std::abs(a[c] - b[c]) > tolerance) return false;
  }
  return true;
}

bool same_pixels(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.span<u8>(), b.span<u8>());
}

TEST_CASE("image: a PNG comes back as it was written, colour and grey") {
  const TemporaryFolder folder;
  Tensor colour = Tensor::empty({7, 5, 3}, DType::kU8), grey = Tensor::empty({4, 9}, DType::kU8);
  Random random(1);
  for (Tensor* image : {&colour, &grey}) {
    for (u8& value : image->span<u8>()) value = static_cast<u8>(random.integer(0, 255));
  }
  save_png(folder / "colour.png", colour);
  CHECK(same_pixels(load_image(folder / "colour.png"), colour));
  CHECK(image_size(folder / "colour.png") == ImageSize{7, 5});

  save_png(folder / "grey.png", grey);
  const Tensor loaded = load_image(folder / "grey.png");
  REQUIRE(loaded.shape() == Shape{4, 9, 3});
  for (i64 i = 0; i < grey.numel(); ++i) {
    for (i64 c = 0; c < 3; ++c) CHECK(loaded.data<u8>()[i * 3 + c] == grey.data<u8>()[i]);
  }
}

TEST_CASE("image: alpha is dropped, not blended") {
  const std::vector<u8> rgba = {10, 20, 30, 0, 40, 50, 60, 128};
  const Tensor image = decode_image(test::png_bytes(1, 2, 6, 8, rgba), "rgba.png");
  CHECK(pixel(image, 0, 0) == std::array{10, 20, 30});
  CHECK(pixel(image, 0, 1) == std::array{40, 50, 60});
  const std::vector<u8> grey_alpha = {77, 0};
  CHECK(pixel(decode_image(test::png_bytes(1, 1, 4, 8, grey_alpha), "la.png"), 0, 0) == std::array{77, 77, 77});
}

TEST_CASE("image: grey values of 8 and 16 bits come back as they were stored, colour is refused") {
  const TemporaryFolder folder;
  const auto path = folder / "grey.png";
  const std::vector<u8> grey16 = {101, 145, 0, 7, 255, 255};
  write_file(path, test::png_bytes(1, 3, 0, 16, grey16));
  const Tensor deep = load_grey(path);
  CHECK(deep.shape() == Shape{1, 3});
  CHECK(std::vector<i32>(deep.span<i32>().begin(), deep.span<i32>().end()) == std::vector<i32>{26001, 7, 65535});
  write_file(path, test::png_bytes(3, 1, 0, 8, {0, 1, 255}));
  const Tensor shallow = load_grey(path);
  CHECK(shallow.shape() == Shape{3, 1});
  CHECK(std::vector<i32>(shallow.span<i32>().begin(), shallow.span<i32>().end()) == std::vector<i32>{0, 1, 255});
  write_file(path, test::png_bytes(1, 1, 2, 8, {1, 2, 3}));
  CHECK_ERROR(load_grey(path), "grey.png: a grey PNG is expected, this one has 3 channels");
  write_file(path, test::jpeg_bytes(corners_image(8, 8)));
  CHECK_ERROR(load_grey(path), "grey.png: a grey PNG is expected, this is a JPEG");
  write_file(path, test::png_bytes(1, 3, 0, 16, grey16).substr(0, 50));
  CHECK_ERROR(load_grey(path), "grey.png: cannot be decoded");
}

TEST_CASE("image: of 16-bit samples the high byte is kept") {
  const std::vector<u8> rgb16 = {1, 255, 128, 0, 255, 3};
  CHECK(pixel(decode_image(test::png_bytes(1, 1, 2, 16, rgb16), "rgb16.png"), 0, 0) == std::array{1, 128, 255});
  const std::vector<u8> grey16 = {200, 9};
  CHECK(pixel(decode_image(test::png_bytes(1, 1, 0, 16, grey16), "g16.png"), 0, 0) == std::array{200, 200, 200});
}

TEST_CASE("image: all eight EXIF orientations are turned upright") {
  const TemporaryFolder folder;
  const i64 height = 24, width = 40;
  const Tensor upright = corners_image(height, width);
  const std::array<int, 3> top_left = {0, 0, 40}, top_right = {255, 0, 40}, bottom_left = {0, 255, 40},
                           bottom_right = {255, 255, 40};
  // What stands in the upright picture's corners (tl, tr, bl, br) when the picture above is stored with orientation k:
  // "row 0 is the visual ..., column 0 is the visual ..." of the EXIF standard.
  const std::array<std::array<std::array<int, 3>, 4>, 8> expected = {{
      {top_left, top_right, bottom_left, bottom_right},  // 1: top, left
      {top_right, top_left, bottom_right, bottom_left},  // 2: top, right
      {bottom_right, bottom_left, top_right, top_left},  // 3: bottom, right
      {bottom_left, bottom_right, top_left, top_right},  // 4: bottom, left
      {top_left, bottom_left, top_right, bottom_right},  // 5: left, top
      {bottom_left, top_left, bottom_right, top_right},  // 6: right, top
      {bottom_right, top_right, bottom_left, top_left},  // 7: right, bottom
      {top_right, bottom_right, top_left, bottom_left},  // 8: left, bottom
  }};
  const std::string jpeg = test::jpeg_bytes(upright);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {false, true}) {
      CAPTURE(orientation);
      CAPTURE(little);
      const std::string bytes = test::with_exif(jpeg, test::exif_block(orientation, little));
      const Tensor image = decode_image(bytes, "photo.jpg");
      const bool turned = orientation >= 5;
      const i64 h = turned ? width : height, w = turned ? height : width;
      REQUIRE(image.shape() == Shape{h, w, 3});
      CHECK(near(pixel(image, 0, 0), expected[orientation - 1][0], 12));
      CHECK(near(pixel(image, 0, w - 1), expected[orientation - 1][1], 12));
      CHECK(near(pixel(image, h - 1, 0), expected[orientation - 1][2], 12));
      CHECK(near(pixel(image, h - 1, w - 1), expected[orientation - 1][3], 12));
      write_file(folder / "photo.jpg", bytes);
      CHECK(image_size(folder / "photo.jpg") == ImageSize{h, w});
    }
  }
}

TEST_CASE("image: a malformed EXIF block counts as upright and reads nothing beyond its end") {
  const std::string jpeg = test::jpeg_bytes(corners_image(16, 16));
  const std::string good = test::exif_block(6, true);
  CHECK(exif_orientation(test::with_exif(jpeg, good)) == 6);
  CHECK(exif_orientation(jpeg) == 1);
  // The value of the entry ends at byte 26 of the block (6 of "Exif", 8 of the header, 2 + 10 of the directory).
  for (size_t size = 0; size < 26; ++size) CHECK(exif_orientation(test::with_exif(jpeg, good.substr(0, size))) == 1);
  for (const int value : {0, 9, 255})
    CHECK(exif_orientation(test::with_exif(jpeg, test::exif_block(value, true))) == 1);
  std::string far = good;
  far[10] = far[11] = far[12] = '\xFF';  // the directory's offset
  CHECK(exif_orientation(test::with_exif(jpeg, far)) == 1);
}

TEST_CASE("image: a JPEG cut anywhere is an error that names the file") {
  const TemporaryFolder folder;
  const std::string jpeg = test::with_exif(test::jpeg_bytes(corners_image(32, 48)), test::exif_block(1, false));
  REQUIRE(decode_image(jpeg, "whole.jpg").shape() == Shape{32, 48, 3});
  for (size_t size = 0; size < jpeg.size(); ++size)
    CHECK_ERROR(decode_image(jpeg.substr(0, size), "cut.jpg"), "cut.jpg: ");
  write_file(folder / "cut.jpg", jpeg.substr(0, jpeg.size() / 2));
  CHECK_ERROR(load_image(folder / "cut.jpg"), (folder / "cut.jpg").string());
}

TEST_CASE("image: a PNG cut anywhere or with any byte changed is an error") {
  const std::string png = encode_png(corners_image(9, 13));
  for (size_t size = 0; size < png.size(); ++size)
    CHECK_ERROR(decode_image(png.substr(0, size), "cut.png"), "cut.png: ");
  for (size_t at = 0; at < png.size(); ++at) {
    std::string damaged = png;
    damaged[at] ^= 0x10;
    CHECK_ERROR(decode_image(damaged, "bad.png"), "bad.png: ");
  }
}

TEST_CASE("image: a JPEG with impossible or missing Huffman tables never reaches the decoder") {
  const std::string jpeg = test::jpeg_bytes(corners_image(16, 16));
  const size_t tables = jpeg.find("\xFF\xC4"), scan = jpeg.find("\xFF\xDA");
  REQUIRE(tables != std::string::npos);
  REQUIRE(scan != std::string::npos);
  const auto with = [&](size_t at, char value) {
    std::string changed = jpeg;
    changed[at] = value;
    return changed;
  };
  CHECK_ERROR(decode_image(with(tables + 5 + 15, '\xFF'), "t.jpg"),
              "t.jpg: cannot be decoded: a Huffman table is impossible");
  CHECK_ERROR(decode_image(with(tables + 4, '\x55'), "t.jpg"), "a Huffman table is impossible");
  std::string much = with(tables + 5 + 15, '\xF0');
  much.replace(tables + 2, 2, std::string("\x00\x20", 2));
  CHECK_ERROR(decode_image(much, "t.jpg"), "a Huffman table is cut off");
  CHECK_ERROR(decode_image(with(scan + 6, '\x33'), "t.jpg"), "a scan uses a Huffman table that is not there");
  CHECK_ERROR(decode_image(with(scan + 4, '\x02'), "t.jpg"), "a scan header has a wrong length");
}

TEST_CASE("image: random damage to a JPEG never does worse than an error") {
  const std::string jpeg = test::jpeg_bytes(corners_image(40, 40));
  Random random(3);
  for (int round = 0; round < 500; ++round) {
    std::string damaged = jpeg;
    for (int i = 0; i < 3; ++i)
      damaged[random.integer(2, damaged.size() - 1)] = static_cast<char>(random.integer(0, 255));
    try {
      const Tensor image = decode_image(damaged, "damaged.jpg");
      CHECK(image.rank() == 3);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("damaged.jpg: "));
    }
  }
}

TEST_CASE("image: files that are missing, empty or no picture are errors that say so") {
  const TemporaryFolder folder;
  CHECK_ERROR(load_image(folder / "nowhere.png"), "nowhere.png: cannot be opened");
  write_file(folder / "empty.png", "");
  CHECK_ERROR(load_image(folder / "empty.png"), "is empty");
  CHECK_ERROR(image_size(folder / "empty.png"), "is empty");
  write_file(folder / "text.jpg", "hello");
  CHECK_ERROR(load_image(folder / "text.jpg"), "neither a JPEG nor a PNG");
  CHECK_ERROR(image_size(folder / "text.jpg"), "neither a JPEG nor a PNG");
  CHECK_ERROR(load_image(folder.path()), "not a regular file");
  CHECK_ERROR(encode_png(Tensor::zeros({4, 4, 4}, DType::kU8)), "expected u8 [H, W, 3] or [H, W]");
  CHECK_ERROR(encode_png(Tensor::zeros({4, 4, 3})), "expected u8");
  CHECK_ERROR(encode_png(Tensor::zeros({0, 4, 3}, DType::kU8)), "cannot be a picture");
}

TEST_CASE("image: a header that promises a gigantic picture is refused before anything is allocated") {
  std::string header = test::png_bytes(1, 1, 2, 8, {1, 2, 3});
  test::set_png_size(header, 17000, 17000);
  CHECK_ERROR(decode_image(header, "bomb.png"), "more than the 268435456 allowed");
  test::set_png_size(header, 60000, 60000);
  CHECK_ERROR(decode_image(header, "bomb.png"), "promises too many pixels");
}

}  // namespace
}  // namespace tessera
