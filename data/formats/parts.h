// What the formats have in common.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/formats/files.h"
#include "data/image.h"

namespace tessera::formats {

// ---- reading ----

struct NamedObject {
  std::string name;           // of its class
  CocoAnnotation annotation;  // ids, and a box and an area that are those of the mask, are filled in later
};
struct ReadPicture {
  CocoImage image;
  std::vector<NamedObject> objects = {};
  LeftOut left_out = {};
};

// The data set of pictures in their order. Without `classes` these are the names that occur, sorted; with them every
// name is among them. All ids begin at 1.
AnnotatedPictures assembled(const fs::path& name, const fs::path& images, std::vector<ReadPicture> pictures,
                            std::vector<std::string> classes = {});

// Throws unless what is drawn for a picture, "the mask" or "the map", is of its size.
void check_drawn_size(const fs::path& file, const char* what, const Tensor& drawn, const CocoImage& picture);

Tensor not_black(const Tensor& drawn);  // u8 [H, W, 3] -> u8 [H, W]: 0 where it is black

double parse_number(std::string_view word);  // all of it is a finite number, or an error
CocoAnnotation object_of(Rle mask);

// ---- writing ----

struct MaskedObject {
  const CocoAnnotation* annotation;
  i64 class_index;
  Rle mask;
};

// The objects of a picture that have a mask with a pixel. Others are counted, and so are crowd regions if asked for.
std::vector<MaskedObject> masked_objects(const CocoDataset& dataset, i64 image, bool crowds, LeftOut& left_out);
// Its outlines: the annotated polygons, or those of its mask.
Polygons outlines_of(const MaskedObject& object);

// Objects in a picture in which a pixel belongs to one of them alone: of several to the smallest. Those of which
// nothing is left are taken out and counted, those that lose pixels are counted.
struct Overlay {
  Tensor map;  // i32 [H, W]: 0, or the number of the object, from 1
  std::vector<MaskedObject> objects;
};
Overlay overlaid(std::vector<MaskedObject> objects, ImageSize size, LeftOut& left_out);

// Of each picture a name without extension and without folders ("a/b.jpg": "a_b"). Throws when two have the same.
std::vector<std::string> stems_of(const CocoDataset& dataset);
void check_distinct(const CocoDataset& dataset, const std::vector<std::string>& names);  // the same of any names
std::string extension_of(const CocoImage& image);                                        // ".jpg"

// Throws when classes have the same name or none, or one has a character that the format cannot have there.
void check_class_names(const CocoDataset& dataset, std::string_view forbidden = "\r\n");

// f(picture, left_out) for every picture, on all threads; what was counted comes in the order of the pictures.
LeftOut for_each_picture(const CocoDataset& dataset, const Counted& counted,
                         const std::function<void(i64, LeftOut&)>& f);

// ---- the formats ----

AnnotatedPictures read_coco(const AnnotatedFiles& files, const Counted& counted);
AnnotatedPictures read_labelme(const AnnotatedFiles& files, const Counted& counted);
AnnotatedPictures read_yolo(const AnnotatedFiles& files, const Counted& counted);
AnnotatedPictures read_voc(const AnnotatedFiles& files, const Counted& counted);
AnnotatedPictures read_masks(const AnnotatedFiles& files, const Counted& counted);
AnnotatedPictures read_label_maps(const AnnotatedFiles& files, const Counted& counted);
AnnotatedPictures read_cityscapes(const AnnotatedFiles& files, const Counted& counted);

LeftOut write_coco(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);
LeftOut write_labelme(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);
LeftOut write_yolo(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);
LeftOut write_voc(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);
LeftOut write_masks(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);
LeftOut write_label_maps(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);
LeftOut write_cityscapes(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&);

}  // namespace tessera::formats
