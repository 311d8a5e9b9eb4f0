#include "data/shapes.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/coco.h"
#include "data/panoptic.h"
#include "data/shapes_files.h"
#include "tensor/file.h"

namespace tessera {

namespace {

// The visible pixels of object k (1-based), or for 0 of the ground.
Rle visible_mask(const Tensor& owners, i64 k) {
  Tensor mask = Tensor::empty(owners.shape(), DType::kU8);
  std::ranges::transform(owners.span<u8>(), mask.span<u8>().begin(), [k](u8 owner) { return u8{owner == k}; });
  return encode_rle(mask);
}

void add_picture(CocoDataset& dataset, const std::string& file_name, const ShapesPicture& picture) {
  const i64 image_id = static_cast<i64>(dataset.images.size()) + 1;
  dataset.images.push_back({image_id, file_name, picture.image.dim(0), picture.image.dim(1)});
  for (size_t k = 0; k < picture.classes.size(); ++k) {
    const Rle mask = visible_mask(picture.owners, static_cast<i64>(k) + 1);
    CocoAnnotation annotation;
    annotation.id = static_cast<i64>(dataset.annotations.size()) + 1;
    annotation.image_id = image_id;
    annotation.category_id = picture.classes[k] + 1;
    annotation.bbox = rle_bbox(mask);
    annotation.area = static_cast<double>(rle_area(mask));
    annotation.segmentation = mask;
    dataset.annotations.push_back(std::move(annotation));
  }
}

// The objects of the picture that was added last and, after them, its ground.
void add_segments(const CocoDataset& dataset, const ShapesPicture& picture, PanopticFile& file) {
  PanopticPicture& segments = file.pictures.emplace_back();
  segments.image_id = dataset.images.back().id;
  segments.png = dataset.images.back().file_name;
  std::vector<Rle> masks;
  const auto add = [&](Rle mask, i64 category_id) {
    if (rle_area(mask) == 0) return;
    masks.push_back(std::move(mask));
    segments.segments.push_back({.id = std::ssize(masks),
                                 .category_id = category_id,
                                 .area = static_cast<double>(rle_area(masks.back())),
                                 .bbox = rle_bbox(masks.back())});
  };
  for (size_t i = dataset.annotations.size() - picture.classes.size(); i < dataset.annotations.size(); ++i)
    add(std::get<Rle>(dataset.annotations[i].segmentation), dataset.annotations[i].category_id);
  add(visible_mask(picture.owners, 0), std::ssize(dataset.categories) + 1 + picture.ground);
  save_segments(file.png_of(segments), {picture.owners.dim(0), picture.owners.dim(1)}, masks);
}

}  // namespace

void replace_picture(const std::filesystem::path& path, const std::string& png,
                     const std::vector<std::filesystem::path>& annotations) {
  if (std::filesystem::exists(path) && read_file(path) == png) return;
  AtomicFile file(path);
  file.write(png.data(), png.size());
  for (const std::filesystem::path& of_others : annotations) std::filesystem::remove(of_others);
  file.commit();
}

void generate_shapes(const ShapesConfig& config, const Counted& counted) {
  check(config);
  const i64 total = config.train + config.val;
  i64 done = 0;
  const auto write_split = [&](ShapesSplit split, const std::string& name, i64 count) {
    std::filesystem::create_directories(config.dir / name);
    CocoDataset dataset;
    dataset.name = (config.dir / fmt::format("instances_{}.json", name)).string();
    for (const char* shape : shape_names(config.kind))
      dataset.categories.push_back({static_cast<i64>(dataset.categories.size()) + 1, shape});
    PanopticFile segments{.name = (config.dir / fmt::format("panoptic_{}.json", name)).string()};
    segments.folder = panoptic_folder(segments.name);
    if (config.panoptic) std::filesystem::create_directories(segments.folder);
    for (i64 index = 0; index < count; ++index) {
      const ShapesPicture picture = draw_shapes(config, split, index);
      const std::string file_name = fmt::format("{:06}.png", index + 1);
      replace_picture(config.dir / name / file_name, encode_png(picture.image), {dataset.name, segments.name});
      add_picture(dataset, file_name, picture);
      if (config.panoptic) add_segments(dataset, picture, segments);
      if (counted) counted(++done, total);
    }
    index_coco(dataset);
    save_coco(dataset.name, dataset);
    if (!config.panoptic) return;
    segments.images = dataset.images;
    segments.categories = dataset.categories;
    for (const char* ground : kGroundNames)
      segments.categories.push_back({.id = std::ssize(segments.categories) + 1, .name = ground, .isthing = false});
    save_panoptic(segments);
  };
  try {
    if (config.cityscapes) return generate_cityscapes_shapes(config, counted);
    write_split(ShapesSplit::kTrain, "train", config.train);
    write_split(ShapesSplit::kVal, "val", config.val);
  } catch (const std::filesystem::filesystem_error& error) {
    fail("{}: cannot be created: {}", error.path1().string(), error.code().message());
  }
}

}  // namespace tessera
