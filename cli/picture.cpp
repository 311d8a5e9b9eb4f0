#include "cli/picture.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "cli/tracks.h"
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

// A part of a picture in pixels, for what stands there.
struct Area {
  i64 x, y, width, height;
};

i64 common_pixels(const Area& a, const Area& b) {
  const i64 width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const i64 height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  return std::max<i64>(width, 0) * std::max<i64>(height, 0);
}

struct PlacedLabel {
  std::string text;
  Area area;
  Colour colour;
};

// Where the label of boxes[own] stands: the first of some places around and inside it that covers least of the other
// labels, and then of the other boxes.
Area place_label(const std::vector<Area>& boxes, size_t own, ImageSize label, ImageSize picture,
                 const std::vector<PlacedLabel>& labels) {
  constexpr i64 kLabelPixel = 8;  // counts as so many pixels of boxes
  const Area& box = boxes[own];
  const i64 right = box.x + box.width - label.width, bottom = box.y + box.height;
  const std::array<std::pair<i64, i64>, 8> places = {{{box.x, box.y - label.height},
                                                      {box.x, bottom},
                                                      {right, box.y - label.height},
                                                      {right, bottom},
                                                      {box.x, box.y},
                                                      {box.x, bottom - label.height},
                                                      {right, bottom - label.height},
                                                      {box.x, box.y + (box.height - label.height) / 2}}};
  Area best{};
  i64 least = std::numeric_limits<i64>::max();
  for (const auto& [x, y] : places) {
    const Area place{std::clamp<i64>(x, 0, std::max<i64>(0, picture.width - label.width)),
                     std::clamp<i64>(y, 0, std::max<i64>(0, picture.height - label.height)), label.width, label.height};
    i64 covered = 0;
    for (const PlacedLabel& other : labels) covered += kLabelPixel * common_pixels(place, other.area);
    for (size_t i = 0; i < boxes.size(); ++i) covered += i == own ? 0 : common_pixels(place, boxes[i]);
    if (covered < least) least = covered, best = place;
  }
  return best;
}

// The annotated objects of one image (crowd regions left out) as instances of score 1.
std::vector<Instance> annotated_instances(const CocoDataset& dataset, i64 image) {
  std::vector<Instance> instances;
  const CocoImage& info = dataset.images.at(static_cast<size_t>(image));
  for (i64 position : dataset.annotations_of.at(static_cast<size_t>(image))) {
    const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
    if (annotation.iscrowd) continue;
    const i64 class_index = dataset.class_index.at(annotation.category_id);
    if (annotation.has_mask())
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
  Tensor picture = factor > 1 ? enlarge(image, factor) : image.clone();
  const ImageSize size{picture.dim(0), picture.dim(1)};
  const i64 side = std::min(size.height, size.width);
  const i64 thickness = std::max<i64>(1, side / 400), text_height = std::max<i64>(13, side / 32);
  std::vector<size_t> order(instances.size());  // the least certain first
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return instances[a].score < instances[b].score; });
  const auto colour_at = [&](size_t place) {
    return colour_of(colours.empty() ? static_cast<i64>(place) : colours.at(order[place]));
  };

  std::vector<std::pair<i64, size_t>> masks;  // area and place: a large one hides no small one
  for (size_t place = 0; place < order.size(); ++place)
    if (const Instance& instance = instances[order[place]]; instance.has_mask())
      masks.emplace_back(-rle_area(instance.mask), place);
  std::ranges::sort(masks);
  for (const auto& [area, place] : masks) {
    const Tensor mask = enlarge(decode_rle(instances[order[place]].mask), factor);
    blend_mask(picture, mask, colour_at(place), 0.45);
    outline_mask(picture, mask, colour_at(place), thickness);
  }
  std::vector<Area> boxes;
  for (const size_t i : order) {
    const auto scaled = [&](size_t k) { return static_cast<i64>(instances[i].box[k]) * factor; };
    boxes.push_back({scaled(0), scaled(1), scaled(2), scaled(3)});
  }
  std::vector<PlacedLabel> labels;  // the most certain has the choice of places
  for (size_t place = order.size(); place-- > 0;) {
    const Instance& instance = instances[order[place]];
    if (instance.box[2] <= 0) continue;
    const std::string& name = classes.at(static_cast<size_t>(instance.class_index));
    std::string text = label == Label::kName ? name : fmt::format("{} {:.2f}", name, instance.score);
    const Area area = place_label(boxes, place, text_size(text, text_height), size, labels);
    labels.push_back({std::move(text), area, colour_at(place)});
    const auto& [x, y, width, height] = boxes[place];
    draw_box(picture, x, y, width, height, labels.back().colour, thickness);
  }
  std::ranges::reverse(labels);  // drawn last: no mask may cover one, and the most certain lie on top
  for (const auto& [text, area, colour] : labels) draw_text(picture, area.x, area.y, text, text_height, colour);
  return picture;
}

Tensor draw_annotated_and_found(const Tensor& image, const CocoDataset& dataset, i64 position,
                                const std::vector<Instance>& found, const std::vector<std::string>& classes) {
  check_picture_size(dataset.images.at(static_cast<size_t>(position)).file_name, {image.dim(0), image.dim(1)}, dataset,
                     position);
  std::vector<std::string> annotated_classes;
  for (const CocoCategory& category : dataset.categories) annotated_classes.push_back(category.name);
  const std::vector<Instance> annotated = annotated_instances(dataset, position);
  Tracks same;  // an object that was found has the colour of the annotated one that it overlaps
  const std::vector<i64> of_annotated = same.follow(annotated), of_found = same.follow(found);
  return beside(draw_instances(image, annotated, annotated_classes, Label::kName, of_annotated),
                draw_instances(image, found, classes, Label::kNameAndScore, of_found));
}

}  // namespace tessera
