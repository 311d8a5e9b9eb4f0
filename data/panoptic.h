// COCO panoptic files: every pixel of a picture belongs to one segment, an object ("thing") or a stretch of stuff, or
// to none (void). Annotations and results alike are a JSON file and, beside it, a folder of PNGs that is called as the
// file is without .json:
//
//   panoptic_val2017.json    "images"; "categories" with "isthing" 0 or 1; "annotations", one per picture: "image_id",
//                            "file_name" (of its PNG), "segments_info" [{"id", "category_id", "iscrowd", "area",
//                            "bbox"}]
//   panoptic_val2017/*.png   8-bit RGB: a pixel belongs to segment R + 256 G + 65536 B of its picture; 0 is void
//
// Of a result's segments the id and the category are needed alone.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/coco.h"
#include "data/image.h"
#include "data/label_map.h"

namespace tessera {

struct PanopticSegment {
  i64 id = 0, category_id = 0;  // the id is in [1, 2^24), and of the picture alone
  bool iscrowd = false;
  std::optional<double> area = {};
  std::optional<XywhBox> bbox = {};
};

struct PanopticPicture {
  i64 image_id = 0;
  std::string png = {};
  std::vector<PanopticSegment> segments = {};
};

struct PanopticFile {
  std::string name = {};               // for messages: the file it was read from
  std::filesystem::path folder = {};   // of the PNGs
  std::vector<CocoImage> images = {};  // results need not have any, nor categories
  std::vector<CocoCategory> categories = {};
  std::vector<PanopticPicture> pictures = {};  // "annotations", in file order

  std::filesystem::path png_of(const PanopticPicture& picture) const { return folder / picture.png; }
  // "val.json: image 42 (000000000042.png)", for messages.
  std::string place(const PanopticPicture& picture) const;
};

// The folder of a file's PNGs.
std::filesystem::path panoptic_folder(const std::filesystem::path& json);

// Is this a panoptic file, not one of instances? Anything that is no regular file is none.
bool is_panoptic(const std::filesystem::path& path);

// Reads the JSON alone. Key order is free, unknown keys are ignored. An id outside [1, 2^24) or twice in a picture is
// an error that names it, the file and its entry.
PanopticFile load_panoptic(const std::filesystem::path& path);

// Writes file.name, replacing it when it is whole; the PNGs are save_segments'.
void save_panoptic(const PanopticFile& file);

// The regions of a PNG, by ascending id; the first may be 0.
std::vector<LabelRegion> load_segments(const std::filesystem::path& png);

// A PNG of masks that share no pixel, which is an error: segments 1, 2, ... in their order.
void save_segments(const std::filesystem::path& png, ImageSize size, std::span<const Rle> masks);

// The mask of a segment; all background where the PNG has none of its pixels. The segments of a picture are asked for
// one after the other, so each thread keeps the PNG that it read last.
Rle segment_mask(const PngSegment& segment);

// The file in the form that training and evaluation of instances take: one annotation per segment, numbered anew,
// things and stuff alike, with area, box and "iscrowd" as the file has them; its mask stays in the PNG. Throws when a
// PNG does not exist, cannot be read or has not the size of its image: one error with the number and first names of
// each kind. Of the PNGs only the headers are read, on all threads.
CocoDataset load_panoptic_dataset(const std::filesystem::path& path);

// Is it one of these?
bool is_panoptic(const CocoDataset& dataset);

// How many of the categories are things.
i64 count_things(const CocoDataset& dataset);

}  // namespace tessera
