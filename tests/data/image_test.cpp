#include "data/image.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "data/image_codecs.h"
#include "data/image_orientation.h"
#include "tensor/file.h"
#include "tensor/random.h"
#include "tensor/safetensors.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
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

// tests/oracle/image_files.py made the pictures, and what PIL decodes of them; nothing where PIL refuses.
TEST_CASE("image: pictures of every kind decode as PIL decodes them, or are refused by name") {
  const TemporaryFolder folder;
  const SafeTensors pictures = SafeTensors::open(test::source_dir() / "tests/data/pictures.safetensors");
  int decoded = 0, refused = 0;
  for (const NamedTensor& picture : pictures.tensors()) {
    const std::string& name = picture.name;
    if (name.ends_with(" pixels")) continue;
    CAPTURE(name);
    const std::string bytes(reinterpret_cast<const char*>(picture.tensor.data<u8>()), picture.tensor.bytes());
    if (!pictures.contains(name + " pixels")) {
      CHECK_ERROR(decode_image(bytes, name), name + ": ");
      ++refused;
      continue;
    }
    const Tensor& expected = pictures[name + " pixels"];
    Tensor image;
    REQUIRE_NOTHROW(image = decode_image(bytes, name));
    REQUIRE(image.shape() == expected.shape());
    int worst = 0;
    for (i64 i = 0; i < image.numel(); ++i)
      worst = std::max(worst, std::abs(int{image.data<u8>()[i]} - int{expected.data<u8>()[i]}));
    CHECK(worst <= (name.ends_with(".jpg") ? 2 : 0));
    write_file(folder / name, bytes);
    CHECK(image_size(folder / name) == ImageSize{image.dim(0), image.dim(1)});
    ++decoded;
  }
  CHECK(decoded > 100);
  CHECK(refused > 10);
}

TEST_CASE("image: an arithmetically coded JPEG has the pixels of one with Huffman codes, restarts or not") {
  const Tensor image = corners_image(21, 34);
  const Tensor plain = decode_image(test::jpeg_bytes(image), "huffman.jpg");
  for (const bool progressive : {false, true})
    for (const bool arithmetic : {false, true})
      for (const int interval : {0, 2})
        CHECK(same_pixels(plain, decode_image(test::jpeg_bytes(image, {.progressive = progressive,
                                                                       .arithmetic = arithmetic,
                                                                       .restart_interval = interval}),
                                              "other.jpg")));
}

TEST_CASE("image: four inks are inverted, whatever the file says, and each dims the light that black leaves") {
  Tensor inks = Tensor::empty({16, 16, 4}, DType::kU8);
  for (i64 i = 0; i < inks.numel(); i += 4) {
    const std::array<u8, 4> ink = {250, 120, 30, 200};
    std::ranges::copy(ink, inks.data<u8>() + i);
  }
  const std::array<int, 3> expected = {250 * 200 / 255, 120 * 200 / 255, 30 * 200 / 255};
  const std::string cmyk = test::jpeg_bytes(inks), ycck = test::jpeg_bytes(inks, {.ycck = true});
  std::string unmarked = cmyk;
  unmarked.erase(cmyk.find("\xFF\xEE"), 16);
  for (const std::string& bytes : {cmyk, ycck, unmarked})
    CHECK(near(pixel(decode_image(bytes, "inks.jpg"), 5, 5), expected, 3));
}

TEST_CASE("image: bytes that stray between the segments, the pixels and the end of a JPEG change nothing") {
  const std::string jpeg = test::jpeg_bytes(corners_image(24, 32), {.restart_interval = 3});
  const Tensor whole = decode_image(jpeg, "whole.jpg");
  const size_t end = jpeg.size() - 2, tables = jpeg.find("\xFF\xC4");
  for (const std::string& stray : {std::string(64, '\0'), std::string("\xFF\0", 2), std::string("\xFF\0\xFF\0zz", 6),
                                   std::string("\xFF\xD2"), std::string(5, '\xFF'), std::string("\xFF\x01")}) {
    CHECK(same_pixels(whole, decode_image(std::string(jpeg).insert(end, stray), "stray.jpg")));
    CHECK(same_pixels(whole, decode_image(jpeg + stray, "stray.jpg")));
  }
  CHECK(same_pixels(whole, decode_image(std::string(jpeg).insert(tables, "stray"), "stray.jpg")));
}

TEST_CASE("image: of 16-bit colours the high byte is kept, 16-bit grey is cut off at 255") {
  const std::vector<u8> rgb16 = {1, 255, 128, 0, 255, 3};
  CHECK(pixel(decode_image(test::png_bytes(1, 1, 2, 16, rgb16), "rgb16.png"), 0, 0) == std::array{1, 128, 255});
  const Tensor grey = decode_image(test::png_bytes(1, 3, 0, 16, {0, 9, 0, 255, 1, 0}), "grey16.png");
  CHECK(pixel(grey, 0, 0) == std::array{9, 9, 9});
  CHECK(pixel(grey, 0, 1) == std::array{255, 255, 255});
  CHECK(pixel(grey, 0, 2) == std::array{255, 255, 255});
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
  CHECK(stored_orientation(good, "") == 6);
  CHECK(stored_orientation(good.substr(6), "") == 6);
  CHECK(stored_orientation("", "") == 1);
  // The value of the entry ends at byte 26 of the block (6 of "Exif", 8 of the header, 2 + 10 of the directory).
  for (size_t size = 0; size < 26; ++size) CHECK(stored_orientation(good.substr(0, size), "") == 1);
  for (const int value : {0, 9, 255}) CHECK(stored_orientation(test::exif_block(value, true), "") == 1);
  std::string far = good;
  far[10] = far[11] = far[12] = '\xFF';  // the directory's offset
  CHECK(stored_orientation(far, "") == 1);
  std::string many = good;
  many[20] = '\x40';  // values, so that they stand elsewhere
  CHECK(stored_orientation(many, "") == 1);
  CHECK(decode_image(test::with_exif(jpeg, far), "far.jpg").shape() == Shape{16, 16, 3});
}

TEST_CASE("image: XMP says the orientation where EXIF does not") {
  CHECK(stored_orientation("", R"(<a tiff:Orientation="6"/>)") == 6);
  CHECK(stored_orientation("", "<tiff:Orientation>3</tiff:Orientation>") == 3);
  CHECK(stored_orientation("", R"(tiff:Orientation, tiff:Orientation='7' tiff:Orientation="8")") == 8);
  CHECK(stored_orientation(test::exif_block(5, false), R"(tiff:Orientation="8")") == 5);
  CHECK(stored_orientation(test::exif_block(0, false), R"(tiff:Orientation="8")") == 1);
  for (const char* none : {"tiff:Orientation", "tiff:Orientation=\"", "tiff:Orientation>", "tiff:Orientation=\"x\"",
                           "tiff:Orientation=\"9\"", "tiff:Orientation=\"0\""})
    CHECK(stored_orientation("", none) == 1);
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

TEST_CASE("image: a PNG with too few pixels, or parts that nobody knows to be needless, is an error") {
  const std::string png = test::png_bytes(2, 2, 0, 8, {1, 2, 3, 4});
  const auto with = [&](const std::string& chunk) { return std::string(png).insert(33, chunk); };
  REQUIRE(decode_image(with(test::png_chunk("abCd", "x")), "a.png").shape() == Shape{2, 2, 3});
  CHECK_ERROR(decode_image(with(test::png_chunk("ABCD", "x")), "a.png"), "a.png: cannot be decoded: ABCD");
  std::string tall = png;
  test::set_png_size(tall, 3, 2);
  CHECK_ERROR(decode_image(tall, "a.png"), "a.png: cannot be decoded: Not enough image data");
  CHECK_ERROR(decode_image(std::string(png).insert(8, test::png_chunk("CgBI", "1234")), "a.png"),
              "Apple's own variant");
}

TEST_CASE("image: a JPEG whose tables are impossible or missing, or that is of an unknown kind, is an error") {
  const std::string jpeg = test::jpeg_bytes(corners_image(16, 16));
  const size_t tables = jpeg.find("\xFF\xC4"), scan = jpeg.find("\xFF\xDA"), frame = jpeg.find("\xFF\xC0");
  const auto with = [&](size_t at, char value) {
    std::string changed = jpeg;
    changed[at] = value;
    return changed;
  };
  for (const std::string& bytes :
       {with(tables + 5 + 15, '\xFF'), with(tables + 4, '\x55'), with(scan + 6, '\x33'), with(scan + 4, '\x02')})
    CHECK_ERROR(decode_image(bytes, "t.jpg"), "t.jpg: cannot be decoded: ");
  CHECK_ERROR(decode_image(with(frame + 4, 12), "t.jpg"), "precision 12");
  Tensor two = Tensor::zeros({8, 8, 4}, DType::kU8);
  std::string two_components = test::jpeg_bytes(two);
  const size_t sof = two_components.find("\xFF\xC0");
  two_components[sof + 9] = 2;
  two_components[sof + 3] = 8 + 3 * 2;
  two_components.erase(sof + 10 + 6, 6);
  CHECK_ERROR(decode_image(two_components, "t.jpg"), "t.jpg: cannot be decoded: ");
}

TEST_CASE("image: a JPEG that repeats its scans without end is an error") {
  std::string jpeg = test::jpeg_bytes(corners_image(8, 8), {.progressive = true});
  const size_t scan = jpeg.rfind("\xFF\xDA");
  std::string last = jpeg.substr(scan, jpeg.size() - 2 - scan);
  std::string many = jpeg.substr(0, scan);
  for (int i = 0; i < 600; ++i) many += last;
  CHECK_ERROR(decode_image(many + "\xFF\xD9", "many.jpg"), "many.jpg: cannot be decoded: it has too many scans");
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
  write_file(folder / "a.bmp", "BM1234");
  CHECK_ERROR(load_image(folder / "a.bmp"), "a.bmp: is a BMP file, neither a JPEG nor a PNG image: convert it");
  write_file(folder / "a.jpg", std::string("RIFF\0\0\0\0WEBPVP8 ", 16));
  CHECK_ERROR(image_size(folder / "a.jpg"), "a.jpg: is a WebP file");
  write_file(folder / "a.tif", std::string("MM\0*", 4) + "more");
  CHECK_ERROR(load_image(folder / "a.tif"), "a.tif: is a TIFF file");
  CHECK_ERROR(encode_png(Tensor::zeros({4, 4, 4}, DType::kU8)), "expected u8 [H, W, 3] or [H, W]");
  CHECK_ERROR(encode_png(Tensor::zeros({4, 4, 3})), "expected u8");
  CHECK_ERROR(encode_png(Tensor::zeros({0, 4, 3}, DType::kU8)), "cannot be a picture");
}

TEST_CASE("image: what is encoded as a JPEG is read again, and a better quality is closer and larger") {
  Tensor image = Tensor::zeros({40, 60, 3}, DType::kU8);
  for (i64 i = 0; i < image.numel(); ++i) image.data<u8>()[i] = static_cast<u8>(i / 3 % 60 * 4);  // grey, to the right
  const auto error = [&](const std::string& jpeg) {
    const Tensor back = decode_image(jpeg, "a.jpg");
    REQUIRE(back.shape() == image.shape());
    i64 sum = 0;
    for (i64 i = 0; i < image.numel(); ++i) sum += std::abs(int{back.data<u8>()[i]} - int{image.data<u8>()[i]});
    return static_cast<double>(sum) / static_cast<double>(image.numel());
  };
  const std::string good = encode_jpeg(image, 95), poor = encode_jpeg(image, 5);
  CHECK(error(good) < 2);
  CHECK(error(good) < error(poor));
  CHECK(poor.size() < good.size());
  CHECK_ERROR(encode_jpeg(Tensor::zeros({4, 4}, DType::kU8)), "encode_jpeg: expected u8 [H, W, 3], got u8 [4, 4]");
  CHECK_ERROR(encode_jpeg(Tensor::zeros({0, 4, 3}, DType::kU8)), "cannot be a picture");
  CHECK_ERROR(encode_jpeg(Tensor::zeros({70000, 1, 3}, DType::kU8)), "sides of 1 to 65500 can");
}

TEST_CASE("image: a header that promises a gigantic picture is refused before anything is allocated") {
  std::string header = test::png_bytes(1, 1, 2, 8, {1, 2, 3});
  test::set_png_size(header, 17000, 17000);
  CHECK_ERROR(decode_image(header, "bomb.png"), "more than the 268435456 allowed");
  test::set_png_size(header, 2'000'000'000, 2'000'000'000);
  CHECK_ERROR(decode_image(header, "bomb.png"), "more than the 268435456 allowed");
  const TemporaryFolder folder;
  write_file(folder / "bomb.png", header);
  CHECK_ERROR(image_size(folder / "bomb.png"), "bomb.png: 2000000000 x 2000000000 pixels are more than");
}

}  // namespace
}  // namespace tessera
