#include "cli/picture.h"

#include <algorithm>
#include <numeric>

#include "data/draw.h"
#include "data/transforms.h"

namespace tessera {

namespace {

constexpr i64 kReadable = 320;  // pixels: images with a shorter side below this are enlarged

// A whole factor that makes an image readable. Strips stay strips: see shortest_side_size.
i64 readable_factor(ImageSize size) {
  const ImageSize readable = shortest_side_size(size, kReadable);
  const i64 side = std::min(size.height, size.width);
  return std::max<i64>(1, (std::min(readable.height, readable.width) + side - 1) / side);
}

// The annotated objects of one image (crowd regions left out) as instances of score 1.
std::vector<Instance> annotated_instances(const CocoDataset& dataset, i64 image) {
  std::vector<Instance> instances;
  const CocoImage& info = dataset.images.at(static_cast<size_t>(image));
  for (i64 position : dataset.annotations_of.at(static_cast<size_t>(image))) {
    const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
    if (annotation.iscrowd) continue;
    const i64 class_index = dataset.class_index.at(annotation.category_id);
    if (!std::holds_alternative<std::monostate>(annotation.segmentation))
      instances.push_back(Instance::of_mask(class_index, 1, annotation_mask(annotation, info.height, info.width)));
    else if (annotation.bbox)
      instances.push_back(Instance::of_box(class_index, 1, *annotation.bbox));
  }
  return instances;
}

}  // namespace

void check_picture_size(const std::filesystem::path& file, ImageSize size, const CocoDataset& dataset, i64 position) {
  const CocoImage& info = dataset.images.at(static_cast<size_t>(position));
  TESSERA_CHECK(size.height == info.height && size.width == info.width, "{}: has {} x {} pixels, but {} says {} x {}",
                file.string(), size.height, size.width, dataset.name, info.height, info.width);
}

ImageSize drawn_size(ImageSize image) {
  const i64 factor = readable_factor(image);
  return {image.height * factor, image.width * factor};
}

Tensor draw_instances(const Tensor& image, const std::vector<Instance>& instances,
                      const std::vector<std::string>& classes, Label label, const std::vector<i64>& colours) {
  const i64 factor = readable_factor({image.dim(0), image.dim(1)});
  const i64 text_scale = std::max<i64>(1, std::min(image.dim(0), image.dim(1)) * factor / 400);
  Tensor picture = factor > 1 ? enlarge(image, factor) : image.clone();
  std::vector<size_t> order(instances.size());  // the least certain first
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return instances[a].score < instances[b].score; });
  const auto colour_at = [&](size_t place) {
    return colour_of(colours.empty() ? static_cast<i64>(place) : colours.at(order[place]));
  };

  for (size_t place = 0; place < order.size(); ++place) {
    const Instance& instance = instances[order[place]];
    if (!instance.has_mask()) continue;
    const Tensor mask = enlarge(decode_rle(instance.mask), factor);
    blend_mask(picture, mask, colour_at(place), 0.45);
    outline_mask(picture, mask, colour_at(place));
  }
  for (size_t place = 0; place < order.size(); ++place) {  // labels last: no mask may cover one
    const Instance& instance = instances[order[place]];
    const XywhBox& box = instance.box;
    if (box[2] <= 0) continue;
    const auto scaled = [&](double value) { return static_cast<i64>(value) * factor; };
    const Colour colour = colour_at(place);
    draw_box(picture, scaled(box[0]), scaled(box[1]), scaled(box[2]), scaled(box[3]), colour, text_scale);
    const std::string name = classes.at(static_cast<size_t>(instance.class_index));
    draw_text(picture, scaled(box[0]), scaled(box[1]) - 10 * text_scale,
              label == Label::kName ? name : fmt::format("{} {:.2f}", name, instance.score), text_scale, colour);
  }
  return picture;
}

Tensor draw_annotated_and_found(const Tensor& image, const CocoDataset& dataset, i64 position,
                                const std::vector<Instance>& found, const std::vector<std::string>& classes) {
  check_picture_size(dataset.images.at(static_cast<size_t>(position)).file_name, {image.dim(0), image.dim(1)}, dataset,
                     position);
  std::vector<std::string> annotated_classes;
  for (const CocoCategory& category : dataset.categories) annotated_classes.push_back(category.name);
  return beside(draw_instances(image, annotated_instances(dataset, position), annotated_classes, Label::kName),
                draw_instances(image, found, classes, Label::kNameAndScore));
}

}  // namespace tessera
