#include "cli/picture.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/draw.h"

namespace tessera {

TEST_CASE("picture: objects have the colours of their numbers, or by their certainty") {
  constexpr i64 kSide = 330;  // not enlarged
  const Tensor image = Tensor::full({kSide, kSide, 3}, 100, DType::kU8);
  CHECK(drawn_size({kSide, kSide}) == ImageSize{kSide, kSide});
  CHECK(drawn_size({64, 96}) == ImageSize{320, 480});
  const auto square = [](double score, i64 x) {
    Tensor mask = Tensor::zeros({kSide, kSide}, DType::kU8);
    for (i64 row = 100; row < 200; ++row)
      for (i64 column = x; column < x + 100; ++column) mask.data<u8>()[row * kSide + column] = 1;
    return Instance::of_mask(0, score, encode_rle(mask));
  };
  const std::vector<Instance> instances = {square(0.9, 10), square(0.5, 200)};
  const auto has_colour = [](const Tensor& picture, i64 x, i64 number) {
    const u8* pixel = picture.data<u8>() + (150 * kSide + x) * 3;
    for (size_t c = 0; c < 3; ++c)
      if (pixel[c] != std::lround(0.55 * 100 + 0.45 * colour_of(number)[c])) return false;
    return true;
  };
  const Tensor numbered = draw_instances(image, instances, {"square"}, Label::kName, {7, 4});
  CHECK(has_colour(numbered, 60, 7));
  CHECK(has_colour(numbered, 250, 4));
  const Tensor plain = draw_instances(image, instances, {"square"}, Label::kName);
  CHECK(has_colour(plain, 60, 1));  // the least certain comes first
  CHECK(has_colour(plain, 250, 0));
}

TEST_CASE("picture: labels of boxes at one place stand beside each other") {
  const Tensor image = Tensor::full({400, 600, 3}, 100, DType::kU8);
  std::vector<Instance> instances;
  for (i64 i = 0; i < 4; ++i)
    instances.push_back(Instance::of_box(0, 0.9 - 0.1 * static_cast<double>(i), {200, 150, 150, 100}));
  const Tensor picture = draw_instances(image, instances, {"a square of some size"}, Label::kNameAndScore);
  for (i64 i = 0; i < 4; ++i) {
    const Colour colour =
        colour_of(3 - i);  // its background covers as many pixels as that of a label alone, less the ink
    i64 filled = 0;
    for (const u8 *p = picture.data<u8>(), *end = p + picture.numel(); p < end; p += 3)
      filled += p[0] == colour[0] && p[1] == colour[1] && p[2] == colour[2];
    const ImageSize label = text_size("a square of some size 0.90", 13);
    CHECK(filled > label.height * label.width * 6 / 10);
  }
}

TEST_CASE("picture: an object that was found has the colour of the annotated one, whatever its place among them") {
  CocoDataset dataset;
  dataset.images = {{.id = 1, .file_name = "a.png", .height = 330, .width = 330}};
  dataset.categories = {{.id = 1, .name = "square"}};
  const auto at = [](double x) { return XywhBox{x, 100, 100, 60}; };
  for (const double x : {10.0, 200.0})
    dataset.annotations.push_back(
        {.id = std::lround(x), .image_id = 1, .category_id = 1, .bbox = at(x), .segmentation = {}});
  dataset.annotations[1].segmentation = BadMask{"odd"};  // its box is drawn
  index_coco(dataset);
  const Tensor image = Tensor::full({330, 330, 3}, 100, DType::kU8);
  const Tensor picture = draw_annotated_and_found(
      image, dataset, 0, {Instance::of_box(0, 0.9, at(203)), Instance::of_box(0, 0.5, at(12))}, {"square"});
  const auto colour = [&](i64 x) {
    const u8* pixel = picture.data<u8>() + (130 * picture.dim(1) + x) * 3;
    return Colour{pixel[0], pixel[1], pixel[2]};
  };
  const i64 right = 330 + 4;  // where what was found begins
  CHECK(colour(10) == colour(right + 12));
  CHECK(colour(200) == colour(right + 203));
  CHECK(colour(10) != colour(200));
}

}  // namespace tessera
