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

}  // namespace tessera
