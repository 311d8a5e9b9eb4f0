// Pictures on a page: each stands there once, as a JPEG, and over it what is annotated and what was found, as SVG,
// which the page's script shows, hides and colours.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/coco.h"
#include "tensor/tensor.h"

namespace tessera {

struct PanelObject {
  std::string name;     // of its class
  i64 class_index = 0;  // its colour by class,
  i64 object = -1;      // and by object: what is annotated and what found it have the same number; -1: nothing
  std::optional<double> score = {};
  std::optional<Rle> mask = {};
  std::optional<XywhBox> box = {};
};

// One view of a picture: "truth", what is annotated, or "found", by one model.
struct Panel {
  std::string kind, caption;
  std::vector<PanelObject> objects;
};

// What is annotated in a picture, crowd regions left out, with masks where one can be made; their object is their
// position in set.annotations. Where the file gives no box it is the mask's.
std::vector<PanelObject> annotated_objects(const CocoDataset& set, i64 picture);

// "2 person, 1 dog", of the objects of at least that score; "nothing".
std::string counted_objects(const std::vector<PanelObject>& objects, double score = 0);

// image: u8 [H, W, 3], whose pixels masks and boxes count; title: of the picture; text: below it. number: another one
// for each picture of the page.
std::string picture_panels(const Tensor& image, const std::string& title, const std::string& text,
                           const std::vector<Panel>& panels, i64 number);

// What switches the layers of all pictures: masks, boxes, names, which of a single class are not shown at first, and
// colours; where something was found also what is annotated and what was found, from a least score on.
std::string layer_form(i64 classes, std::optional<double> score = {});

}  // namespace tessera
