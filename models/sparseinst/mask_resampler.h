// The way from a mask map at stride 4 back to the original picture, without any full-size map in between.
//
// The reference enlarges the map bilinearly to the padded input, cuts away the padding, resizes bilinearly to the
// original picture and compares with a threshold. Both resizes are linear and separable, so along each axis they are
// one linear map: every output row (or column) is a sum of at most four rows of the small map. These weights are worked
// out once per picture; ops/mask_runs.h applies them.
#pragma once

#include "data/image.h"
#include "ops/mask_runs.h"

namespace tessera::sparseinst {

struct MaskResampler {
  // map: size of the small map, padded: of the network's input, resized: of the picture in it, original: of the file.
  // The weights lie on `device`.
  MaskResampler(ImageSize map, ImageSize padded, ImageSize resized, ImageSize original, Device device = {});

  ImageSize original;
  ops::AxisWeights rows, columns;  // one line per row and column of the original
};

}  // namespace tessera::sparseinst
