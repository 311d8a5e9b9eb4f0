// The Cityscapes data set: its labels, its folders, its annotations, and the result files of its instance task.
//
//   gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_{polygons.json,labelIds.png,instanceIds.png}
//   leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png
//
// A pixel of instanceIds.png is a label id below 1000 (for a class with instances: a group of objects that were not
// told apart), or 1000 * label id + n for the n-th object of the class in the picture.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/coco.h"
#include "data/rle.h"
#include "data/tally.h"

namespace tessera {

struct CityscapesLabel {
  i64 id;
  const char* name;
  bool instances;  // its objects are told apart
  bool ignored;    // takes no part in evaluation
};

std::span<const CityscapesLabel> cityscapes_labels();  // by ascending id, -1 to 33
const CityscapesLabel* find_cityscapes_label(i64 id);  // null when there is none

// The classes of the instance task, in the order of all tables: person rider car truck bus train motorcycle bicycle.
inline constexpr std::array<i64, 8> kCityscapesClasses = {24, 25, 26, 27, 28, 31, 32, 33};

// What file names have behind <city>_<seq>_<frame>.
inline constexpr std::string_view kCityscapesInstances = "_gtFine_instanceIds.png";
inline constexpr std::string_view kCityscapesLabels = "_gtFine_labelIds.png";
inline constexpr std::string_view kCityscapesPicture = "_leftImg8bit.png";

struct CityscapesImage {
  std::string name;                 // <city>_<seq>_<frame>
  std::filesystem::path instances;  // its instanceIds.png

  std::string city() const { return name.substr(0, name.find('_')); }
};

// All pictures with an instanceIds.png in `folder` or below, by name. A folder that has gtFine/val in it stands for
// that. Throws when there is none, when one is there twice, or when a picture has other labels and not this map.
std::vector<CityscapesImage> list_cityscapes(const std::filesystem::path& folder);

// The regions of an instanceIds.png or labelIds.png, by ascending pixel value.
struct CityscapesRegion {
  i64 value = 0;
  Rle mask;
  i64 label() const { return value < 1000 ? value : value / 1000; }
  bool is_object() const { return value >= 1000; }
};
std::vector<CityscapesRegion> load_cityscapes_regions(const std::filesystem::path& png);

// The objects of the folder's pictures (list_cityscapes) in the form that training and evaluation take: categories are
// the eight classes, by label id; pictures are called <city>/<name>_leftImg8bit.png and have the ids 1, 2, ... by name;
// groups are crowd regions. Reads every map, on all threads. A value that is of no label is an error. Objects that the
// task leaves out, caravans and trailers, are counted.
CocoDataset load_cityscapes(const std::filesystem::path& folder, Tally* left_out = nullptr);

// The pictures in `images` (leftImg8bit/<split>) or below that a data set of load_cityscapes has no labels of: their
// file names.
Tally cityscapes_without_labels(const CocoDataset& dataset, const std::filesystem::path& images);

// One object found: a line of a result file.
struct CityscapesDetection {
  std::filesystem::path mask;
  i64 label = 0;
  double confidence = 0;
};

// The same with its mask.
struct CityscapesFound {
  i64 label = 0;
  double confidence = 0;
  Rle mask;
};

// Result files: one text file <name>*.txt per picture, anywhere below `root`, one line per object,
//   relative/path/mask.png labelID confidence
// separated by single spaces. The path counts from the text file and stays inside the root. Of two lines with the same
// mask the later one counts. An empty file is a picture without objects.
std::vector<CityscapesDetection> load_cityscapes_results(const std::filesystem::path& text,
                                                         const std::filesystem::path& root);

// Writes what was found in a picture: folder/<name>_pred.txt, and folder/masks/<name>_000.png, ... in the place of
// those of an earlier call. Without its text file a picture has no results: that goes first and comes last.
std::filesystem::path cityscapes_result_file(const std::filesystem::path& folder, const std::string& name);
void save_cityscapes_results(const std::filesystem::path& folder, const std::string& name,
                             std::span<const CityscapesFound> found);

// For each image its text file. Throws when one has none or several.
std::vector<std::filesystem::path> find_cityscapes_results(std::span<const CityscapesImage> images,
                                                           const std::filesystem::path& root);

// The mask of a result: what is not 0 in a grey picture of the given size.
Rle load_cityscapes_mask(const std::filesystem::path& png, i64 height, i64 width);

}  // namespace tessera
