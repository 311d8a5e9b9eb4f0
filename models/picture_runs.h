// What ops::mask_runs found in several pictures, where the host reads it, with one wait for the device.
#pragma once

#include <functional>
#include <vector>

#include "data/image.h"
#include "data/rle.h"
#include "ops/mask_runs.h"

namespace tessera {

// One call of ops::mask_runs, for a picture of that size.
struct PictureRuns {
  ImageSize original;
  std::function<ops::MaskRuns(i64 room)> find;
};

// Of each call its masks, as many as it had maps; what was not kept is 0 x 0. `more` are other tensors of the device:
// they come to the host in the same copy. A call with more runs than `room` is made a second time, which is a second
// wait: 32,768 are a hundred objects of 160 columns each.
std::vector<std::vector<Rle>> masks_of(const std::vector<PictureRuns>& calls, std::vector<Tensor>& more,
                                       i64 room = 32768);

}  // namespace tessera
