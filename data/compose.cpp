#include "data/compose.h"

#include <algorithm>
#include <cstring>

namespace tessera {

namespace {

ImageSize size_of(const Targets& targets) {
  return {targets.masks.dim(1), targets.masks.dim(2)};
}

// Rows of `source`, of pixels of `bytes` bytes, into a larger plane at (top, left).
void copy_into(const u8* source, ImageSize size, i64 bytes, u8* plane, i64 width, i64 top, i64 left) {
  for (i64 y = 0; y < size.height; ++y)
    std::memcpy(plane + ((top + y) * width + left) * bytes, source + y * size.width * bytes,
                static_cast<size_t>(size.width * bytes));
}

// Objects of pictures of one size, collected.
class Objects {
 public:
  Objects(ImageSize size, i64 most) : size_(size) {
    targets_.masks = Tensor::zeros({most, size.height, size.width}, DType::kU8);
  }

  // A mask of zeros for the next object, which is none before add().
  std::span<u8> plane() {
    const size_t pixels = static_cast<size_t>(size_.height * size_.width);
    return targets_.masks.span<u8>().subspan(targets_.annotations.size() * pixels, pixels);
  }
  void add(const Targets& from, i64 k, const Box& box) {
    targets_.annotations.push_back(from.annotations[static_cast<size_t>(k)]);
    classes_.push_back(from.classes.data<i64>()[k]);
    for (const double side : box) boxes_.push_back(static_cast<float>(side));
  }
  // An object of a smaller picture at (top, left) of this one.
  void add_shifted(const Targets& from, i64 k, i64 top, i64 left) {
    const ImageSize size = size_of(from);
    copy_into(from.masks.data<u8>() + k * size.height * size.width, size, 1, plane().data(), size_.width, top, left);
    const float* box = from.boxes.data<float>() + 4 * k;
    const double x = static_cast<double>(left), y = static_cast<double>(top);
    add(from, k, {box[0] + x, box[1] + y, box[2] + x, box[3] + y});
  }
  Targets take() {
    const i64 count = targets_.count();
    targets_.masks = targets_.masks.rows(0, count);
    targets_.classes = Tensor::from(classes_, {count});
    targets_.boxes = Tensor::from(boxes_, {count, 4});
    return std::move(targets_);
  }

 private:
  ImageSize size_;
  Targets targets_;
  std::vector<i64> classes_;
  std::vector<float> boxes_;
};

}  // namespace

Box mask_bounds(std::span<const u8> plane, ImageSize size) {
  i64 left = size.width, right = 0, top = size.height, bottom = 0;
  for (i64 y = 0; y < size.height; ++y) {
    const std::span<const u8> row = plane.subspan(static_cast<size_t>(y * size.width), static_cast<size_t>(size.width));
    const auto first = std::ranges::find_if(row, [](u8 value) { return value != 0; });
    if (first == row.end()) continue;
    const auto last = std::find_if(row.rbegin(), row.rend(), [](u8 value) { return value != 0; });
    left = std::min<i64>(left, first - row.begin());
    right = std::max<i64>(right, row.rend() - last);
    top = std::min(top, y);
    bottom = y + 1;
  }
  return {static_cast<double>(left), static_cast<double>(top), static_cast<double>(right), static_cast<double>(bottom)};
}

Sample mosaic_of(std::span<const Sample, 4> tiles) {
  const ImageSize first = size_of(tiles[0].targets), last = size_of(tiles[3].targets);
  const ImageSize size{first.height + last.height, first.width + last.width};
  i64 count = 0;
  for (const Sample& tile : tiles) count += tile.targets.count();
  Objects objects(size, count);
  Sample mosaic = tiles[0];
  if (mosaic.image) mosaic.image = Tensor::empty({size.height, size.width, 3}, DType::kU8);
  for (size_t i = 0; i < tiles.size(); ++i) {
    const Targets& targets = tiles[i].targets;
    const i64 top = i < 2 ? 0 : first.height, left = i % 2 == 0 ? 0 : first.width;
    if (mosaic.image)
      copy_into(tiles[i].image.data<u8>(), size_of(targets), 3, mosaic.image.data<u8>(), size.width, top, left);
    for (i64 k = 0; k < targets.count(); ++k) objects.add_shifted(targets, k, top, left);
  }
  mosaic.targets = objects.take();
  return mosaic;
}

i64 paste_objects(Sample& onto, const Sample& from, std::span<const i64> chosen, i64 top, i64 left, i64 least_pixels) {
  const ImageSize size = size_of(onto.targets), window = size_of(from.targets);
  const i64 pixels = window.height * window.width;
  Tensor covered = Tensor::zeros({size.height, size.width}, DType::kU8);
  u8* hidden = covered.data<u8>();
  u8* image = onto.image ? onto.image.data<u8>() : nullptr;
  for (const i64 k : chosen) {
    const u8* mask = from.targets.masks.data<u8>() + k * pixels;
    for (i64 i = 0; i < pixels; ++i) {
      if (!mask[i]) continue;
      const i64 at = (top + i / window.width) * size.width + left + i % window.width;
      hidden[at] = 1;
      if (image) std::memcpy(image + 3 * at, from.image.data<u8>() + 3 * i, 3);
    }
  }
  const Targets before = std::move(onto.targets);
  Objects objects(size, before.count() + std::ssize(chosen));
  i64 too_small = 0;
  for (i64 k = 0; k < before.count(); ++k) {
    const std::span<u8> plane = objects.plane();
    const u8* mask = before.masks.data<u8>() + k * std::ssize(plane);
    i64 lost = 0, kept = 0;
    for (size_t i = 0; i < plane.size(); ++i) {
      lost += mask[i] & hidden[i];
      kept += plane[i] = mask[i] & ~hidden[i];
    }
    if (lost > 0 && kept < least_pixels) {
      too_small += kept > 0;
      std::ranges::fill(plane, u8{0});
      continue;
    }
    const float* box = before.boxes.data<float>() + 4 * k;
    objects.add(before, k, lost > 0 ? mask_bounds(plane, size) : Box{box[0], box[1], box[2], box[3]});
  }
  for (const i64 k : chosen) objects.add_shifted(from.targets, k, top, left);
  onto.targets = objects.take();
  return too_small;
}

}  // namespace tessera
