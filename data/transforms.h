// The resizing rule and the augmentations of the papers. Each draws a Geometry; nothing here touches a pixel.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "data/geometry.h"
#include "tensor/fields.h"
#include "tensor/random.h"

namespace tessera {

// Shorter side to `shortest`, aspect kept, unless the longer side would exceed `longest`, which then decides; rounded
// half up (detectron2's ResizeShortestEdge). A strip is not enlarged beyond 10 shorter sides: without a limit one of
// 1 x 9000 pixels would become 600 x 5400000. Pictures up to that aspect, and those that shrink, never meet this rule.
ImageSize shortest_side_size(ImageSize size, i64 shortest, i64 longest = std::numeric_limits<i64>::max());

// Large scale jittering (Ghiasi et al., "Simple Copy-Paste", CVPR 2021): the picture is fitted into `target` times a
// factor uniform in [min_scale, max_scale], then a window of at most `target` is cut out at a uniform place.
struct ScaleJitter {
  double min_scale = 0.1, max_scale = 2.0;
  ImageSize target{1024, 1024};
};

// Defaults: SparseInst without its 'aug' (specification section 12). `aug` is crop_probability 0.5: with it the picture
// is first resized to one of crop_shortest (no limit on the longer side) and cropped to a height and a width uniform in
// [min(side, crop_min), min(side, crop_max)], at a uniform place.
struct AugmentConfig {
  double flip_probability = 0.5;
  std::vector<i64> shortest = {416, 448, 480, 512, 544, 576, 608, 640};
  i64 longest = 853;
  double crop_probability = 0;
  std::vector<i64> crop_shortest = {400, 500, 600};
  i64 crop_min = 384, crop_max = 600;
  std::optional<ScaleJitter> scale_jitter;  // takes the place of both chains behind the flip

  template <class Field>
  void fields(Field&& field) {
    field("flip_probability", flip_probability, "of exchanging left and right", between(0, 1));
    field("shortest", shortest, "sides that the shorter one is resized to, one chosen uniformly", at_least(1));
    field("longest", longest, "the longer side is at most this; paper: 864", at_least(1));
    field("crop_probability", crop_probability, "of a random crop before the resize", between(0, 1));
    field("crop_shortest", crop_shortest, "before a crop: sides that the shorter one is resized to", at_least(1));
    field("crop_min", crop_min, "smallest side of a crop", at_least(1));
    field("crop_max", crop_max, "largest side of a crop", at_least(1));
  }
};

// Throws when a field makes no sense, naming it.
void check(const AugmentConfig& config);

// The chain for one picture; draws from `random` only, so it is a function of its seed and stream.
Geometry augment_geometry(const AugmentConfig& config, ImageSize source, Random& random);

}  // namespace tessera
