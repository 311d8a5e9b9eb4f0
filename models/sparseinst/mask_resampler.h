// From a mask map at stride 4 to the original picture without any full-size map in between.
//
// The reference enlarges the map bilinearly to the padded input, cuts away the padding, resizes bilinearly to the
// original picture and compares with a threshold. Both resizes are linear and separable, so along each axis they are
// one linear map: every output row (or column) is a sum of at most four rows of the small map. The taps are worked out
// once per picture; a mask is then produced column by column, in the order in which run lengths are counted. A column
// is thresholded while it is in the cache: the enlarged map never exists.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "data/image.h"

namespace tessera {

class MaskResampler {
 public:
  // map: size of the small map, padded: of the network's input, resized: of the picture in it, original: of the file.
  MaskResampler(ImageSize map, ImageSize padded, ImageSize resized, ImageSize original);

  ImageSize original() const { return original_; }

  // Calls each(x, values) for x = 0 .. width - 1, where values[y] is the resized map at row y. `map` has the small
  // map's height x width values.
  void columns(std::span<const float> map, const std::function<void(i64 x, std::span<const float> values)>& each) const;

 private:
  struct Taps {
    i64 count = 0;
    std::array<i64, 4> index{};  // all different, ascending
    std::array<float, 4> weight{};
  };
  static std::vector<Taps> compose(i64 map, i64 padded, i64 resized, i64 original);

  ImageSize map_, original_;
  std::vector<Taps> rows_, columns_;  // one per row and column of the original
};

}  // namespace tessera
