// What the formats have in common.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/formats/formats.h"
#include "data/image.h"

namespace tessera::formats {

namespace fs = std::filesystem;

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

// Pictures in a folder and below, found by their names without extension.
class PictureFiles {
 public:
  explicit PictureFiles(const fs::path& folder);
  fs::path find(const std::string& stem) const;  // throws unless there is exactly one

 private:
  fs::path folder_;
  std::map<std::string, std::vector<fs::path>> files_;
};

bool is_picture(const fs::path& file);                                // by its extension
CocoImage image_of(const fs::path& picture, const fs::path& images);  // its name below `images`, and its size

// Throws unless what is drawn for a picture, "the mask" or "the map", is of its size.
void check_drawn_size(const fs::path& file, const char* what, const Tensor& drawn, const CocoImage& picture);

Tensor not_black(const Tensor& drawn);  // u8 [H, W, 3] -> u8 [H, W]: 0 where it is black

// Files and folders in a folder, by name. Throws, naming it, when there is no such folder.
std::vector<fs::path> entries_of(const fs::path& folder);
std::vector<std::string> lines_of(const fs::path& file);  // without their ends, "\n" or "\r\n"
// classes.txt and the like: the lines that are not empty. Nothing where there is no such file.
std::vector<std::string> read_classes(const fs::path& file);

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
std::string extension_of(const CocoImage& image);  // ".jpg"

// f(picture, left_out) for every picture, on all threads; what was counted comes in the order of the pictures.
LeftOut for_each_picture(const CocoDataset& dataset, const Counted& counted,
                         const std::function<void(i64, LeftOut&)>& f);

// Throws when there is a file with that extension in the folder, or below, which is none of `ours`.
void check_strangers(const fs::path& folder, const std::string& extension, const std::vector<fs::path>& ours);
void link_picture(const fs::path& picture, const fs::path& name);  // makes the folder
void write_text(const fs::path& path, const std::string& text);    // the same
// A list of classes that other splits in the folder share: another one that is there is an error.
void write_shared(const fs::path& path, const std::string& text);

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
