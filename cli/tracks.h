// Objects that stay the same from one frame of a video to the next, so that their colours do.
#pragma once

#include <vector>

#include "models/segmenter.h"

namespace tessera {

// An object of a frame is that of an earlier frame whose mask it overlaps most: of all pairs of one class and an IoU of
// at least 0.3 the best is taken first, then the best of those that are left (greedy association). Without masks boxes
// are compared. An object that is missed in up to 10 frames in a row is found again where it was. Nothing is predicted,
// and no appearance is compared: two objects of a class that cross may change numbers.
class Tracks {
 public:
  // The number of each object of the next frame: 0, 1, ... in the order in which they appear.
  std::vector<i64> follow(const std::vector<Instance>& objects);

 private:
  struct Track {
    i64 number;
    Instance last;  // as it was seen
    i64 missed = 0;
  };
  std::vector<Track> tracks_;
  i64 next_ = 0;
};

}  // namespace tessera
