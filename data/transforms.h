// The resizing rule and the augmentations of the papers. Each draws a Geometry; nothing here touches a pixel.
//
// What of [augment] acts on pixels is elsewhere: colours (data/colour.h), several pictures in one (data/compose.h).
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "data/colour.h"
#include "data/geometry.h"
#include "tensor/fields.h"
#include "tensor/random.h"

namespace tessera {

// Whose way of resizing a picture, and with it its annotations, a model was designed with:
//   detectron2  the shorter side gets a length, sides are rounded half up. Polygons are mapped as coordinates and drawn
//               at the new size; behind a crop boxes are those of the masks.
//   detr        the shorter side gets a length, sides are rounded down. Masks are drawn at the picture's own size and
//               mapped as PyTorch's nearest does; boxes are always the annotated ones, and an object stays as long as
//               something of its box does.
//   letterbox   the picture is fitted into a fixed window, and padding makes every input of the network that large
//               (data/sample.h); sides are rounded half up, annotations are as with detectron2.
//   stretch     letterbox without padding: each side becomes that of the window, and the aspect is lost.
enum class ResizeRule { kDetectron2, kDetr, kLetterbox, kStretch };
inline auto names_of(ResizeRule) {
  return std::array{std::pair{"detectron2", ResizeRule::kDetectron2}, std::pair{"detr", ResizeRule::kDetr},
                    std::pair{"letterbox", ResizeRule::kLetterbox}, std::pair{"stretch", ResizeRule::kStretch}};
}
inline bool has_window(ResizeRule rule) {
  return rule == ResizeRule::kLetterbox || rule == ResizeRule::kStretch;
}

// Shorter side to `shortest`, aspect kept, unless the longer side would exceed `longest`, which then decides; rounded
// as detectron2 (ResizeShortestEdge) or DETR do. A strip is not enlarged beyond 10 shorter sides: without a limit one
// of 1 x 9000 pixels would become 600 x 5400000. Pictures up to that aspect, and those that shrink, never meet this
// rule.
ImageSize shortest_side_size(ImageSize size, i64 shortest, i64 longest = std::numeric_limits<i64>::max(),
                             ResizeRule rule = ResizeRule::kDetectron2);
// As large as fits into `window` times a factor, aspect kept; by the rule stretch the window times the factor.
ImageSize fitted_size(ImageSize size, ImageSize window, double factor = 1, ResizeRule rule = ResizeRule::kLetterbox);
// That of a picture that is not augmented; shortest and longest, or the window, as the rule needs.
ImageSize plain_size(ImageSize size, ResizeRule rule, i64 shortest, i64 longest, ImageSize window);

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
  double flip_probability = 0.5, rotate_90_probability = 0;
  std::vector<i64> shortest = {416, 448, 480, 512, 544, 576, 608, 640};
  i64 longest = 853;
  double crop_probability = 0;
  std::vector<i64> crop_shortest = {400, 500, 600};
  i64 crop_min = 384, crop_max = 600;
  i64 least_pixels = 1;
  std::optional<ScaleJitter> scale_jitter;  // takes the place of both chains behind the flip
  ResizeRule resize = ResizeRule::kDetectron2;
  double mosaic_probability = 0, copy_paste_probability = 0;
  ColourJitter colour;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(flip_probability, "of exchanging left and right", between(0, 1));
    TESSERA_FIELD(rotate_90_probability, "of one, two or three quarter turns", between(0, 1));
    TESSERA_FIELD(shortest, "sides that the shorter one is resized to, one chosen uniformly", at_least(1));
    TESSERA_FIELD(longest, "the longer side is at most this; paper: 864", at_least(1));
    TESSERA_FIELD(crop_probability, "of a random crop before the resize", between(0, 1));
    TESSERA_FIELD(crop_shortest, "before a crop: sides that the shorter one is resized to", at_least(1));
    TESSERA_FIELD(crop_min, "smallest side of a crop", at_least(1));
    TESSERA_FIELD(crop_max, "largest side of a crop", at_least(1));
    TESSERA_FIELD(least_pixels, "objects with fewer pixels left are dropped; not with detr's boxes", at_least(1));
    TESSERA_FIELD(mosaic_probability, "of four pictures in one, around a random centre", between(0, 1));
    TESSERA_FIELD(copy_paste_probability, "of objects of a second picture, pasted over (Simple Copy-Paste)",
                  between(0, 1));
    colour.fields(field);
  }
};

// Throws when a field makes no sense, naming it.
void check(const AugmentConfig& config);

// The chain for one picture; draws from `random` only, so it is a function of its seed and stream.
Geometry augment_geometry(const AugmentConfig& config, ImageSize source, Random& random);

// Flip and turn as in the chain, then a window as large as can be with the shape of `tile`, at a uniform place, resized
// to it: a part of a mosaic.
Geometry tile_geometry(const AugmentConfig& config, ImageSize source, ImageSize tile, Random& random);

}  // namespace tessera
