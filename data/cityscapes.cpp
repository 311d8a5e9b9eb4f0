#include "data/cityscapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/folder.h"
#include "data/image.h"
#include "data/label_map.h"
#include "data/parallel.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

constexpr CityscapesLabel kLabels[] = {
    {-1, "license plate", false, true},  {0, "unlabeled", false, true},
    {1, "ego vehicle", false, true},     {2, "rectification border", false, true},
    {3, "out of roi", false, true},      {4, "static", false, true},
    {5, "dynamic", false, true},         {6, "ground", false, true},
    {7, "road", false, false},           {8, "sidewalk", false, false},
    {9, "parking", false, true},         {10, "rail track", false, true},
    {11, "building", false, false},      {12, "wall", false, false},
    {13, "fence", false, false},         {14, "guard rail", false, true},
    {15, "bridge", false, true},         {16, "tunnel", false, true},
    {17, "pole", false, false},          {18, "polegroup", false, true},
    {19, "traffic light", false, false}, {20, "traffic sign", false, false},
    {21, "vegetation", false, false},    {22, "terrain", false, false},
    {23, "sky", false, false},           {24, "person", true, false},
    {25, "rider", true, false},          {26, "car", true, false},
    {27, "truck", true, false},          {28, "bus", true, false},
    {29, "caravan", true, true},         {30, "trailer", true, true},
    {31, "train", true, false},          {32, "motorcycle", true, false},
    {33, "bicycle", true, false},
};

constexpr std::string_view kFine = "_gtFine_";

void check_label(const CityscapesRegion& region, const fs::path& file) {
  const CityscapesLabel* label = find_cityscapes_label(region.label());
  TESSERA_CHECK(label && (label->instances || !region.is_object()),
                "{}: {} pixels have the value {}, which is of no label of Cityscapes (ids 0 to 33, objects 1000 * id + "
                "number)",
                file.string(), rle_area(region.mask), region.value);
}

}  // namespace

std::span<const CityscapesLabel> cityscapes_labels() {
  return kLabels;
}

const CityscapesLabel* find_cityscapes_label(i64 id) {
  const auto label = std::ranges::find(kLabels, id, &CityscapesLabel::id);
  return label == std::end(kLabels) ? nullptr : label;
}

std::vector<CityscapesImage> list_cityscapes(const fs::path& folder) {
  TESSERA_CHECK(fs::is_directory(folder), "{}: is no folder", folder.string());
  const fs::path validation = folder / "gtFine" / "val";
  const fs::path top = fs::is_directory(validation) ? validation : folder;
  std::vector<CityscapesImage> images;
  std::map<std::string, fs::path> labelled;  // by any kind of label
  for (const fs::path& path : files_below(top)) {
    const std::string file = path.filename().string();
    if (const size_t end = file.find(kFine); end != std::string::npos) labelled.emplace(file.substr(0, end), path);
    if (file.ends_with(kCityscapesInstances))
      images.push_back({file.substr(0, file.size() - kCityscapesInstances.size()), path});
  }
  TESSERA_CHECK(!images.empty(), "{}: there is no *{} in it or below; is this Cityscapes, or its gtFine/val?",
                top.string(), kCityscapesInstances);
  std::ranges::sort(images, {}, &CityscapesImage::name);
  const auto twice = std::ranges::adjacent_find(images, {}, &CityscapesImage::name);
  TESSERA_CHECK(twice == images.end(), "{} and {}: the same picture twice", twice->instances.string(),
                std::next(twice)->instances.string());
  for (const CityscapesImage& image : images) labelled.erase(image.name);
  TESSERA_CHECK(labelled.empty(), "{}: {} pictures have labels but no *{}, the first of them this one",
                labelled.begin()->second.string(), labelled.size(), kCityscapesInstances);
  return images;
}

std::vector<CityscapesRegion> load_cityscapes_regions(const fs::path& png) {
  std::vector<CityscapesRegion> regions;
  for (LabelRegion& region : regions_of(load_grey(png))) regions.push_back({region.value, std::move(region.mask)});
  return regions;
}

CocoDataset load_cityscapes(const fs::path& folder, Tally* left_out) {
  const std::vector<CityscapesImage> images = list_cityscapes(folder);
  CocoDataset dataset;
  dataset.name = folder.string();
  for (const i64 label : kCityscapesClasses)
    dataset.categories.push_back({.id = label, .name = find_cityscapes_label(label)->name});
  dataset.images.resize(images.size());
  std::vector<std::vector<CocoAnnotation>> objects(images.size());
  std::vector<std::vector<const char*>> others(images.size());  // names of their labels
  parallel_for(static_cast<i64>(images.size()), [&](i64 i) {
    const std::vector<CityscapesRegion> regions = load_cityscapes_regions(images[i].instances);
    dataset.images[i] = {.id = i + 1,
                         .file_name = fmt::format("{}/{}{}", images[i].city(), images[i].name, kCityscapesPicture),
                         .height = regions[0].mask.height,
                         .width = regions[0].mask.width};
    for (const CityscapesRegion& region : regions) {
      check_label(region, images[i].instances);
      if (std::ranges::find(kCityscapesClasses, region.label()) != kCityscapesClasses.end())
        objects[i].push_back({.image_id = i + 1,
                              .category_id = region.label(),
                              .bbox = rle_bbox(region.mask),
                              .area = static_cast<double>(rle_area(region.mask)),
                              .iscrowd = !region.is_object(),
                              .segmentation = region.mask});
      else if (const CityscapesLabel* label = find_cityscapes_label(region.label()); label->instances)
        others[i].push_back(label->name);
    }
  });
  for (std::vector<CocoAnnotation>& of_image : objects)
    for (CocoAnnotation& object : of_image) {
      object.id = static_cast<i64>(dataset.annotations.size()) + 1;
      dataset.annotations.push_back(std::move(object));
    }
  for (size_t i = 0; i < images.size() && left_out; ++i)
    for (const char* label : others[i]) left_out->add(fmt::format("{}: a {}", images[i].name, label));
  index_coco(dataset);
  return dataset;
}

Tally cityscapes_without_labels(const CocoDataset& dataset, const fs::path& images) {
  std::set<std::string> labelled, without;
  for (const CocoImage& image : dataset.images) labelled.insert(image.file_name);
  for (const fs::path& path : files_below(images)) {
    const std::string file = path.lexically_relative(images).generic_string();
    if (file.ends_with(kCityscapesPicture) && !labelled.contains(file)) without.insert(file);
  }
  Tally tally;
  for (const std::string& file : without) tally.add(file);
  return tally;
}

}  // namespace tessera
