// `shapes`: a synthetic instance-segmentation data set in COCO format, for learning and for tests.
//
// Circles, rectangles and triangles, small to large (radius 1/9 to 1/3 of the side), turned by at most 22.5 degrees,
// filled with stripes, gradients or blotches, lie on top of one another on a textured ground. A mask is what is visible
// of its object, exact to the pixel, so masks never overlap; objects that are mostly hidden are left out of the
// picture. Where panoptic annotations are asked for, the ground is a stretch of stuff, called as its pattern is.
//
// The fine kind has outlines that a coarse mask loses: stars, gears with a hole, and asterisks of thin bars, with five
// to eight points (gears: twice as many teeth) and a radius of 1/6 to 2/5 of the side. All else is the same.
//
// In the layout of Cityscapes the pictures are twice as wide as high, the shape and the filling of an object together
// make its class, some objects are groups, and some pictures have no object.
#pragma once

#include <array>
#include <filesystem>
#include <vector>

#include "data/image.h"
#include "data/parallel.h"
#include "tensor/tensor.h"

namespace tessera {

enum class ShapesKind { kPlain, kFine };

struct ShapesConfig {
  std::filesystem::path dir = {};
  ShapesKind kind = ShapesKind::kPlain;
  i64 train = 2000, val = 200;  // pictures
  i64 size = 128;               // longest possible side in pixels; sides are uniform in [3/4 size, size]
  i64 max_objects = 5;          // per picture, at least 1
  u64 seed = 0;
  bool panoptic = false;    // COCO panoptic files as well
  bool cityscapes = false;  // the layout of Cityscapes instead of COCO's
};

// Category ids 1, 2, 3.
constexpr std::array<const char*, 3> shape_names(ShapesKind kind) {
  if (kind == ShapesKind::kFine) return {"star", "gear", "asterisk"};
  return {"circle", "rectangle", "triangle"};
}

inline constexpr std::array<const char*, 3> kGroundNames = {"stripes", "gradient", "blotches"};  // ... 4, 5, 6

// Throws when a field makes no sense, naming it.
void check(const ShapesConfig& config);

// One picture and its objects: a function of (seed, split, index) alone.
struct ShapesPicture {
  Tensor image;              // u8 [H, W, 3]
  Tensor owners;             // u8 [H, W]: 0 the ground, k the k-th object
  std::vector<i64> classes;  // of object 1, 2, ...: index into shape_names
  std::vector<i64> filling;  // of each, as of the ground
  i64 ground = 0;            // index into kGroundNames
};
enum class ShapesSplit { kTrain, kVal };
ShapesPicture draw_shapes(const ShapesConfig& config, ShapesSplit split, i64 index);

// Writes DIR/train/*.png, DIR/val/*.png, DIR/instances_train.json and DIR/instances_val.json (masks as compressed RLE),
// the JSON files last; if they are asked for, panoptic_train.json and panoptic_val.json with their folders of PNGs.
//
// Layout of Cityscapes (data/cityscapes.h): leftImg8bit/ and gtFine/ with splits train and val of two cities each. A
// folder that has other labels in it is an error. `counted` is called after each picture.
void generate_shapes(const ShapesConfig& config, const Counted& counted = {});

}  // namespace tessera
