// COCO instance annotations and result files.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "data/rle.h"

namespace tessera {

struct CocoImage {
  i64 id = 0;
  std::string file_name = {};  // empty where the file gives none: only who reads the picture needs it
  i64 height = 0, width = 0;   // not above 0 where the file gives none (absent, null, -1): only masks need them
  bool has_size() const { return height > 0 && width > 0; }
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
  bool isthing = true;  // else stuff, which has no objects: grass, sky
};

// A segmentation that no mask can be made of, and why: for whoever needs the mask.
struct BadMask {
  std::string reason;
  bool operator==(const BadMask&) const = default;
};
// A mask that stays on disk: the pixels of this number in a PNG of a panoptic data set (data/panoptic.h).
struct PngSegment {
  std::shared_ptr<const std::filesystem::path> png;  // of all segments of a picture
  i64 id = 0;
  bool operator==(const PngSegment& other) const { return id == other.id && *png == *other.png; }
};
using Polygons = std::vector<std::vector<double>>;  // each x0, y0, x1, y1, ...; together one object

struct CocoAnnotation {
  i64 id = 0, image_id = 0, category_id = 0;
  std::optional<XywhBox> bbox = {};  // absent where the file gives none (absent, null, []) or no four finite numbers
  std::optional<double> area = {};   // as annotated, never recomputed: it decides small, medium and large
  bool iscrowd = false;              // a region with many objects: left out of training, ignored by the evaluation
  // monostate: the file gives none (absent, null, [], {} or "")
  std::variant<std::monostate, Polygons, Rle, PngSegment, BadMask> segmentation;
  bool has_mask() const {  // given, and not known to be malformed
    return !std::holds_alternative<std::monostate>(segmentation) && !std::holds_alternative<BadMask>(segmentation);
  }
  bool ignore = false;  // LVIS and Boundary AP leave such an object out of the count; COCO AP knows only iscrowd
};

struct CocoDataset {
  std::string name;                      // for messages: the file it was read from
  std::vector<CocoImage> images;         // in file order
  std::vector<CocoCategory> categories;  // things by ascending id, then stuff: the position is a network's class index
  std::vector<CocoAnnotation> annotations;  // in file order

  // Filled by index_coco().
  std::unordered_map<i64, i64> image_index;      // image id -> position in images
  std::unordered_map<i64, i64> class_index;      // category id -> position in categories
  std::vector<std::vector<i64>> annotations_of;  // per image the positions of its annotations, in file order
};

// Sorts the categories, fills the indices, and checks what everybody needs: unknown or repeated ids, boxes and areas
// that are not finite. Errors name dataset.name and the annotation. load_coco() calls it; whoever builds a CocoDataset
// by hand calls it too.
void index_coco(CocoDataset& dataset);

// Reads an annotation file, COCO's or LVIS's. Key order is free, unknown keys are ignored. Ids and "iscrowd" are judged
// here; a box, an area, a mask or the size of an image is judged where it is needed, and may be anything in a file that
// is read for something else. An image without "file_name" (LVIS v1) is named by the last two parts of its "coco_url";
// a name of LVIS v0.5, COCO_val2014_000000000042.jpg, becomes the name that the file has in COCO 2017,
// 000000000042.jpg.
CocoDataset load_coco(const std::filesystem::path& path);

// The entries of such a file as they stand there, not indexed: ids may be unknown, or occur twice.
CocoDataset read_coco_entries(const std::filesystem::path& path);

// load_coco of a file that may have images alone, as test sets and images.json of tessera predict, or be panoptic.
CocoDataset load_image_list(const std::filesystem::path& path);

// Writes a file that any COCO tool reads: atomically, numbers with all their digits, RLE compressed.
void save_coco(const std::filesystem::path& path, const CocoDataset& dataset);

bool is_finite(const XywhBox& box);

// "file: annotations[3] (id 102)", for messages.
std::string annotation_place(const CocoDataset& dataset, i64 position);

// Throws, naming the file and the annotation, unless a mask can be made of it: its polygons have points within reach
// and their image has a size, its runs add up to the size of the image where that is known.
void check_mask(const CocoDataset& dataset, i64 position);
void check_mask(const CocoAnnotation& annotation, const CocoImage& image);  // names neither

// The annotation's mask at its image's size, which only polygons need; throws when none can be made.
Rle annotation_mask(const CocoAnnotation& annotation, i64 height, i64 width);

// One entry of a result file: an object found by a network, with a box or a mask or both.
struct Detection {
  i64 image_id = 0, category_id = 0;
  double score = 0;
  std::optional<XywhBox> bbox = {};
  std::optional<Rle> segmentation = {};
  bool operator==(const Detection&) const = default;
};

// Result files: one JSON array of {image_id, category_id, score, bbox and/or segmentation (RLE)}. An empty array is
// legal. Scores keep every digit in both directions. load_detections() (data/detection_list.h) reads them: it checks
// ids, scores, and that there is a box or a mask; whether they fit a data set and a metric is the evaluator's question.
// Writing is atomic.
void save_results(const std::filesystem::path& path, const std::vector<Detection>& detections);

}  // namespace tessera
