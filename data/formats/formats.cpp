#include "data/formats/formats.h"

#include <algorithm>

#include "data/formats/parts.h"
#include "data/panoptic.h"

namespace tessera {

namespace formats {

AnnotatedPictures read_coco(const AnnotatedFiles& files, const Counted&) {
  AnnotatedPictures set{.dataset = is_panoptic(files.annotations) ? load_panoptic_dataset(files.annotations)
                                                                  : load_coco(files.annotations),
                        .images = files.images};
  for (CocoImage& image : set.dataset.images) {
    if (image.has_size()) continue;
    const ImageSize size = image_size(files.images / image.file_name);
    image.height = size.height, image.width = size.width;
  }
  return set;
}

// COCO's file has all that a CocoDataset has.
LeftOut write_coco(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted&) {
  fs::create_directories(out);
  save_coco(out / ("instances_" + split + ".json"), set.dataset);
  return {};
}

}  // namespace formats

namespace {

using namespace formats;

constexpr AnnotationFormat kFormats[] = {
    {"coco", "a file of COCO, LVIS or COCO panoptic; writes instances_SPLIT.json", read_coco, write_coco},
    {"labelme", "a folder of labelme's files, one per picture", read_labelme, write_labelme},
    {"yolo", "data.yaml or its folder, or a folder with classes.txt; labels/SPLIT/*.txt are polygons", read_yolo,
     write_yolo},
    {"voc", "the folder of Annotations/, SegmentationObject/ and ImageSets/ (Pascal VOC)", read_voc, write_voc},
    {"masks", "a folder with a folder for each picture, in it a PNG per object, in folders by class", read_masks,
     write_masks},
    {"label-maps", "a folder of a PNG per picture: objects are 1, 2, ..; with classes.txt 1000 * class + number",
     read_label_maps, write_label_maps},
    {"cityscapes", "the folder of gtFine/ and leftImg8bit/", read_cityscapes, write_cityscapes},
};

}  // namespace

std::span<const AnnotationFormat> annotation_formats() {
  return kFormats;
}

const AnnotationFormat& find_format(std::string_view name) {
  const auto* format = std::ranges::find(kFormats, name, &AnnotationFormat::name);
  std::vector<const char*> names;
  for (const AnnotationFormat& known : kFormats) names.push_back(known.name);
  TESSERA_CHECK(format != std::end(kFormats), "there is no format {}; there are {}", name, fmt::join(names, ", "));
  return *format;
}

}  // namespace tessera
