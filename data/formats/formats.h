// Data sets in the formats of other tools: each is read into a CocoDataset and written from one.
//
// Masks come back pixel for pixel, but where one pixel can belong to one object alone and objects overlap. The ids of
// images, annotations and categories are COCO's and LVIS's alone: elsewhere there are names, and an order.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "data/coco.h"
#include "data/parallel.h"
#include "data/tally.h"

namespace tessera {

// What a data set has and a format cannot hold, counted: "crowd regions" -> how many, with annotation ids.
using LeftOut = std::map<std::string, Tally>;

struct AnnotatedPictures {
  CocoDataset dataset;           // indexed; every image has a size
  std::filesystem::path images;  // the folder that file names are relative to
  LeftOut left_out = {};         // by the reader
};

// Where a data set is.
struct AnnotatedFiles {
  std::filesystem::path annotations;  // a file or a folder
  std::filesystem::path images;       // folder of the pictures; empty: where the format has them
  std::string split = "train";        // of those that a format has in one folder
};

struct AnnotationFormat {
  const char* name;
  const char* words;  // what --annotations names, what is written
  // Throws, naming the file and the line or the key, on whatever is malformed.
  AnnotatedPictures (*read)(const AnnotatedFiles& files, const Counted& counted);
  // Writes the annotations into the folder `out`, and links (or copies) the pictures to where the format has them; what
  // has no such place refers to them. Every file is whole or absent, and a call that was stopped may be repeated. An
  // annotation file in the way that is none of the data set's is an error.
  LeftOut (*write)(const AnnotatedPictures& pictures, const std::filesystem::path& out, const std::string& split,
                   const Counted& counted);
};

std::span<const AnnotationFormat> annotation_formats();
const AnnotationFormat& find_format(std::string_view name);  // throws, naming all, when there is none

}  // namespace tessera
