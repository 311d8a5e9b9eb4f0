// COCO instance annotations and result files.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "data/rle.h"

namespace tessera {

struct CocoImage {
  i64 id = 0;
  std::string file_name;
  i64 height = 0, width = 0;
  // LVIS: categories that were looked for and are not in the image, and categories of which not all objects are marked.
  std::optional<std::vector<i64>> neg_category_ids = {};  // absent in files that are not LVIS
  std::vector<i64> not_exhaustive_category_ids = {};
};

struct CocoCategory {
  i64 id = 0;
  std::string name = {};
  // LVIS: the WordNet name of what is meant, and 'r', 'c' or 'f', for categories that are rare (in fewer than 10
  // training images), common (fewer than 100) or frequent. Empty and 0 in files that are not LVIS.
  std::string synset = {};
  char frequency = 0;
};

using Polygons = std::vector<std::vector<double>>;  // each x0, y0, x1, y1, ...; together one object

struct CocoAnnotation {
  i64 id = 0, image_id = 0, category_id = 0;
  XywhBox bbox{};
  double area = 0;       // as annotated, never recomputed: it decides small, medium and large
  bool iscrowd = false;  // a region with many objects: left out of training, ignored by the evaluation
  // monostate: the file gives none (absent, null or an empty list)
  std::variant<std::monostate, Polygons, Rle> segmentation;
  bool ignore = false;  // LVIS and Boundary AP leave such an object out of the count; COCO AP knows only iscrowd
};

struct CocoDataset {
  std::string name;                         // for messages: the file it was read from
  std::vector<CocoImage> images;            // in file order
  std::vector<CocoCategory> categories;     // by ascending id: the position is the class index of a network
  std::vector<CocoAnnotation> annotations;  // in file order

  // Filled by index_coco().
  std::unordered_map<i64, i64> image_index;      // image id -> position in images
  std::unordered_map<i64, i64> class_index;      // category id -> position in categories
  std::vector<std::vector<i64>> annotations_of;  // per image the positions of its annotations, in file order
};

// Sorts the categories, fills the indices, and checks the whole: unknown or repeated ids, image sizes, boxes and areas
// that are not finite, polygons with too few points, RLE that does not fit the image. Errors name dataset.name and the
// annotation. load_coco() calls it; whoever builds a CocoDataset by hand calls it too.
void index_coco(CocoDataset& dataset);

// Reads an annotation file, COCO's or LVIS's. Key order is free, unknown keys are ignored; "iscrowd" and "segmentation"
// may be absent. An image without "file_name" (LVIS v1) is named by the last two parts of its "coco_url"; a name of
// LVIS v0.5, COCO_val2014_000000000042.jpg, becomes the name that the file has in COCO 2017, 000000000042.jpg.
CocoDataset load_coco(const std::filesystem::path& path);

// The same, of a file that may have images alone: COCO's test sets, or the images.json of tessera predict.
CocoDataset load_image_list(const std::filesystem::path& path);

// Writes a file that any COCO tool reads: atomically, numbers with all their digits, RLE compressed.
void save_coco(const std::filesystem::path& path, const CocoDataset& dataset);

// The annotation's mask at its image's size; throws when it has no segmentation.
Rle annotation_mask(const CocoAnnotation& annotation, i64 height, i64 width);

// One entry of a result file: an object found by a network, with a box or a mask or both.
struct Detection {
  i64 image_id = 0, category_id = 0;
  double score = 0;
  std::optional<XywhBox> bbox;
  std::optional<Rle> segmentation;
};

// Result files: one JSON array of {image_id, category_id, score, bbox and/or segmentation (RLE)}. An empty array is
// legal. Scores keep every digit in both directions. Reading checks each entry by itself (finite numbers, runs that add
// up); whether ids and sizes fit a data set is the evaluator's question. load_detections() (data/detection_list.h)
// reads them. Writing is atomic.
void save_results(const std::filesystem::path& path, const std::vector<Detection>& detections);

}  // namespace tessera
