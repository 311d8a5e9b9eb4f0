#include "data/coco_source.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "data/compose.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "tensor/random.h"

namespace tessera {

namespace {

constexpr double kLeastBoxSide = 1e-5;  // pixels; below it a box counts as empty, as in detectron2

// What becomes of an annotation. All but the last are reasons to leave it out, in the order of the words for them.
enum class Fate : u8 { kCrowd, kNoMask, kMalformedMask, kEmptyMask, kEmptyBox, kKept };
constexpr std::array<const char*, 5> kReasons = {"crowd regions", "without a mask", "with a malformed mask",
                                                 "with an empty mask, or one outside the picture",
                                                 "with an empty box, or one outside the picture"};

// The annotated box behind `geometry`; nothing where the file has none, or an empty one.
std::optional<Box> annotated_box(const CocoAnnotation& annotation, const Geometry& geometry) {
  if (!annotation.bbox) return std::nullopt;
  const auto& [x, y, width, height] = *annotation.bbox;
  const Box box = geometry.apply_to_box({x, y, x + width, y + height});
  if (box[2] - box[0] <= kLeastBoxSide || box[3] - box[1] <= kLeastBoxSide) return std::nullopt;
  return box;
}

Fate fate_of(const CocoAnnotation& annotation, ImageSize size, ResizeRule rule) {
  if (annotation.iscrowd) return Fate::kCrowd;
  if (std::holds_alternative<std::monostate>(annotation.segmentation)) return Fate::kNoMask;
  try {
    if (rle_area(annotation_mask(annotation, size.height, size.width)) == 0) return Fate::kEmptyMask;
  } catch (const Error&) {
    return Fate::kMalformedMask;
  }
  const bool box_decides = rule == ResizeRule::kDetr && annotation.bbox;
  return box_decides && !annotated_box(annotation, Geometry(size)) ? Fate::kEmptyBox : Fate::kKept;
}

// Draws the object at the size behind `geometry` into `plane`; returns how many pixels it has there.
i64 draw_object(const CocoAnnotation& annotation, const Geometry& geometry, ResizeRule rule, std::span<u8> plane) {
  const Polygons* polygons = std::get_if<Polygons>(&annotation.segmentation);
  if (polygons && rule != ResizeRule::kDetr) {
    const Polygons mapped = geometry.apply_to_polygons(*polygons);
    if (mapped.empty()) return 0;
    const Rle rle = rasterise_polygons(mapped, geometry.size().height, geometry.size().width);
    decode_rle(rle, plane);
    return rle_area(rle);
  }
  const Tensor mask = decode_rle(annotation_mask(annotation, geometry.source().height, geometry.source().width));
  const Tensor mapped = geometry.apply_to_masks(mask.reshape({1, mask.dim(0), mask.dim(1)}));
  std::ranges::copy(mapped.span<u8>(), plane.begin());
  return std::ranges::count_if(plane, [](u8 value) { return value != 0; });
}

}  // namespace

CocoSource::CocoSource(std::shared_ptr<const CocoDataset> dataset, std::filesystem::path images,
                       CocoSourceConfig config)
    : dataset_(std::move(dataset)), images_(std::move(images)), config_(std::move(config)) {
  if (config_.augment) check(*config_.augment);
  TESSERA_CHECK(config_.shortest > 0 && config_.longest > 0,
                "coco source: sides of {} (at most {}) pixels are impossible", config_.shortest, config_.longest);
  const std::vector<CocoAnnotation>& annotations = dataset_->annotations;
  const auto size_of = [&](const CocoAnnotation& annotation) {
    const CocoImage& image = dataset_->images[static_cast<size_t>(dataset_->image_index.at(annotation.image_id))];
    return ImageSize{image.height, image.width};
  };
  std::vector<Fate> fates(annotations.size());
  parallel_for(static_cast<i64>(fates.size()), [&](i64 position) {
    const size_t i = static_cast<size_t>(position);
    if (config_.targets)
      fates[i] = fate_of(annotations[i], size_of(annotations[i]), rule());
    else
      fates[i] = annotations[i].iscrowd ? Fate::kCrowd : Fate::kKept;
  });
  for (size_t i = 0; i < fates.size(); ++i) {
    const std::string id = std::to_string(annotations[i].id);
    kept_.push_back(fates[i] == Fate::kKept);
    if (!kept_[i])
      left_out_[static_cast<size_t>(fates[i])].add(id);
    else if (config_.targets && !annotated_box(annotations[i], Geometry(size_of(annotations[i]))))
      boxes_of_masks_.add(id);
  }

  TESSERA_CHECK(!dataset_->images.empty(), "{}: the data set is empty: 0 images", dataset_->name);
  TESSERA_CHECK(!config_.targets || std::ranges::find(kept_, true) != kept_.end(),
                "{}: there is no object to train on: {} images, {} annotations{}", dataset_->name,
                dataset_->images.size(), annotations.size(), annotations.empty() ? "" : "; " + left_out());
  for (size_t i = 0; i < dataset_->images.size(); ++i) {
    const std::vector<i64>& positions = dataset_->annotations_of[i];
    if (!config_.skip_empty || std::ranges::any_of(positions, [&](i64 p) { return kept_[static_cast<size_t>(p)]; }))
      chosen_.push_back(static_cast<i64>(i));
  }
  if (config_.repeat_threshold > 0) count_repeats();
}

std::string CocoSource::left_out() const {
  i64 count = 0;
  std::string reasons;
  for (size_t i = 0; i < left_out_.size() && config_.targets; ++i) {
    if (left_out_[i].count == 0) continue;
    count += left_out_[i].count;
    reasons += fmt::format("{}{} {} (annotation{} {})", reasons.empty() ? "" : ", ", left_out_[i].count, kReasons[i],
                           left_out_[i].count == 1 ? "" : "s", left_out_[i].names());
  }
  if (count == 0) return "";
  return fmt::format("{} of {} objects are left out: {}", count, dataset_->annotations.size(), reasons);
}

i64 CocoSource::objects(i64 index) const {
  return std::ranges::count_if(dataset_->annotations_of[static_cast<size_t>(position(index))],
                               [&](i64 p) -> bool { return kept_[static_cast<size_t>(p)]; });
}

ImageSize CocoSource::original_size(i64 index) const {
  return {image(index).height, image(index).width};
}

void CocoSource::count_repeats() {
  // Of each sample its classes, of each class the samples that have it.
  std::vector<std::set<i64>> classes(chosen_.size());
  std::vector<i64> pictures(dataset_->categories.size());
  for (size_t i = 0; i < chosen_.size(); ++i) {
    for (const i64 p : dataset_->annotations_of[static_cast<size_t>(chosen_[i])])
      if (kept_[static_cast<size_t>(p)])
        classes[i].insert(dataset_->class_index.at(dataset_->annotations[static_cast<size_t>(p)].category_id));
    for (const i64 k : classes[i]) ++pictures[static_cast<size_t>(k)];
  }
  for (const std::set<i64>& present : classes) {
    double repeats = 1;
    for (const i64 k : present) {
      const double share = static_cast<double>(pictures[static_cast<size_t>(k)]) / static_cast<double>(chosen_.size());
      repeats = std::max(repeats, std::sqrt(config_.repeat_threshold / share));
    }
    repeats_.push_back(repeats);
  }
}

double CocoSource::repeats(i64 index) const {
  return repeats_.empty() ? 1 : repeats_[static_cast<size_t>(index)];
}

Random CocoSource::random(const char* purpose, i64 epoch, i64 index) const {
  // Of the image's place in the file, so that leaving out others does not change it.
  return Random(config_.seed, stream_of(purpose, {static_cast<u64>(epoch), static_cast<u64>(position(index))}));
}

Geometry CocoSource::geometry(i64 epoch, i64 index) const {
  const ImageSize original = original_size(index);
  if (config_.augment) {
    Random random = this->random("augment", epoch, index);
    return augment_geometry(*config_.augment, original, random);
  }
  Geometry geometry(original);
  geometry.resize(plain_size(original, config_.resize, config_.shortest, config_.longest, config_.window));
  return geometry;
}

Sample CocoSource::load(i64 epoch, i64 index) const {
  return sample(epoch, index, true);
}

Targets CocoSource::targets(i64 epoch, i64 index) const {
  return sample(epoch, index, false).targets;
}

Sample CocoSource::sample(i64 epoch, i64 index, bool picture) const {
  const Geometry geometry = this->geometry(epoch, index);
  if (!config_.augment || !config_.targets) return plain_sample(index, geometry, picture);
  const AugmentConfig& augment = *config_.augment;
  Random mosaic = random("mosaic", epoch, index), paste = random("copy-paste", epoch, index);
  const ImageSize size = geometry.size();
  const bool tiled = mosaic.chance(augment.mosaic_probability) && std::min(size.height, size.width) > 1;
  Sample sample = tiled ? mosaic_sample(index, size, mosaic, picture) : plain_sample(index, geometry, picture);
  if (paste.chance(augment.copy_paste_probability)) paste_onto(sample, index, paste);
  for (i64 most = fullest_;
       sample.targets.count() > most && !fullest_.compare_exchange_weak(most, sample.targets.count());) {
  }
  if (picture) {
    Random colours = random("colour", epoch, index);
    jitter_colours(sample.image, augment.colour, colours);
  }
  return sample;
}

Sample CocoSource::plain_sample(i64 index, const Geometry& geometry, bool picture) const {
  Sample sample;
  sample.file = images_ / image(index).file_name;
  sample.original = original_size(index);
  sample.image_id = image(index).id;
  sample.index = index;
  if (picture) {
    const Tensor pixels = load_image(sample.file);
    TESSERA_CHECK(pixels.dim(0) == sample.original.height && pixels.dim(1) == sample.original.width,
                  "{}: the picture is {} x {} pixels (height x width), but {} says {} x {}", sample.file.string(),
                  pixels.dim(0), pixels.dim(1), dataset_->name, sample.original.height, sample.original.width);
    sample.image = geometry.apply_to_image(pixels);
  }
  if (config_.targets) sample.targets = targets(index, geometry);
  return sample;
}

// Uniform among the others; the only one of a data set is its own.
i64 CocoSource::another(i64 index, Random& random) const {
  if (size() == 1) return index;
  const i64 other = random.integer(0, size() - 2);
  return other + (other >= index);
}

Sample CocoSource::mosaic_sample(i64 index, ImageSize size, Random& random, bool picture) const {
  const auto centre = [&](i64 side) { return random.integer((side + 3) / 4, side - (side + 3) / 4); };
  const i64 y = centre(size.height), x = centre(size.width);
  std::array<Sample, 4> tiles;
  for (size_t i = 0; i < tiles.size(); ++i) {
    const i64 part = i == 0 ? index : another(index, random);
    const ImageSize tile{i < 2 ? y : size.height - y, i % 2 == 0 ? x : size.width - x};
    tiles[i] = plain_sample(part, tile_geometry(*config_.augment, original_size(part), tile, random), picture);
  }
  return mosaic_of(tiles);
}

void CocoSource::paste_onto(Sample& sample, i64 index, Random& random) const {
  const ImageSize size{sample.targets.masks.dim(1), sample.targets.masks.dim(2)};
  const i64 part = another(index, random);
  AugmentConfig jittered = *config_.augment;
  jittered.scale_jitter = ScaleJitter{.target = size};
  const Geometry geometry = augment_geometry(jittered, original_size(part), random);
  const Sample other = plain_sample(part, geometry, sample.image.defined());
  if (other.targets.count() == 0) return;
  std::vector<i64> objects(static_cast<size_t>(other.targets.count()));
  std::iota(objects.begin(), objects.end(), 0);
  random.shuffle(std::span(objects));
  objects.resize(static_cast<size_t>(random.integer(1, std::ssize(objects))));
  const i64 top = random.integer(0, size.height - geometry.size().height);
  const i64 left = random.integer(0, size.width - geometry.size().width);
  too_small_ += paste_objects(sample, other, objects, top, left, config_.augment->least_pixels);
}

Targets CocoSource::targets(i64 index, const Geometry& geometry) const {
  const ImageSize size = geometry.size();
  const std::vector<i64>& positions = dataset_->annotations_of[static_cast<size_t>(position(index))];
  const size_t pixels = static_cast<size_t>(size.height * size.width);
  Tensor planes = Tensor::empty({static_cast<i64>(positions.size()), size.height, size.width}, DType::kU8);
  const bool detr = rule() == ResizeRule::kDetr;
  const i64 least_pixels = config_.augment ? config_.augment->least_pixels : 1;
  Targets targets;
  std::vector<i64> classes;
  std::vector<float> boxes;
  for (const i64 position : positions) {
    const CocoAnnotation& annotation = dataset_->annotations[static_cast<size_t>(position)];
    if (!kept_[static_cast<size_t>(position)]) continue;
    const std::span<u8> plane = planes.span<u8>().subspan(targets.annotations.size() * pixels, pixels);
    i64 pixels = 0;
    try {
      pixels = draw_object(annotation, geometry, rule(), plane);
    } catch (const Error& error) {
      fail("{}: annotation {}: {}", dataset_->name, annotation.id, error.what());
    }
    const std::optional<Box> annotated = geometry.crops() && !detr ? std::nullopt : annotated_box(annotation, geometry);
    const bool box_decides = detr && annotation.bbox;
    if (box_decides ? !annotated : pixels < least_pixels) {
      if (!box_decides && pixels > 0) ++too_small_;
      continue;
    }
    const Box box = annotated ? *annotated : mask_bounds(plane, size);
    targets.annotations.push_back(annotation.id);
    classes.push_back(dataset_->class_index.at(annotation.category_id));
    for (const double side : box) boxes.push_back(static_cast<float>(side));
  }
  const i64 count = targets.count();
  targets.masks = planes.rows(0, count);
  targets.classes = Tensor::from(classes, {count});
  targets.boxes = Tensor::from(boxes, {count, 4});
  return targets;
}

}  // namespace tessera
