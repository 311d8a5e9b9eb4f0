#include "data/data_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "data/parallel.h"
#include "tensor/file.h"

namespace tessera {

namespace {

constexpr double kRounding = 1;  // pixels that a box may reach out of its picture

struct Found {
  Defect defect;
  std::string what;
};

std::string named(const CocoImage& image) {
  return fmt::format("{} (id {})", image.file_name, image.id);
}

// What is wrong with the box; empty when nothing is.
std::string box_fault(const XywhBox& box, const CocoImage& image) {
  const auto& [x, y, width, height] = box;
  const auto tell = [&](const std::string& fault) {
    return fmt::format("[{}, {}, {}, {}] (x, y, width, height) {}", x, y, width, height, fault);
  };
  if (width <= 0 || height <= 0) return tell("is empty");
  const bool inside = x >= -kRounding && y >= -kRounding && x + width <= static_cast<double>(image.width) + kRounding &&
                      y + height <= static_cast<double>(image.height) + kRounding;
  if (inside || !image.has_size()) return "";
  return tell(fmt::format("reaches out of {} x {} (height x width)", image.height, image.width));
}

std::vector<Found> defects_of(const CocoAnnotation& annotation, const CocoImage& image) {
  std::vector<Found> found;
  const std::string place = fmt::format("annotation {} ({})", annotation.id, image.file_name);
  if (std::holds_alternative<std::monostate>(annotation.segmentation)) {
    found.push_back({Defect::kNoMask, place});
  } else {
    try {
      check_mask(annotation, image);
      if (rle_area(annotation_mask(annotation, image.height, image.width)) == 0)
        found.push_back({Defect::kEmptyMask, place});
    } catch (const Error& error) {
      found.push_back({Defect::kMalformedMask, fmt::format("{}: {}", place, error.what())});
    }
  }
  if (!annotation.bbox)
    found.push_back({Defect::kNoBox, place});
  else if (const std::string fault = box_fault(*annotation.bbox, image); !fault.empty())
    found.push_back({Defect::kBadBox, fmt::format("{}: {}", place, fault)});
  if (!annotation.area)
    found.push_back({Defect::kNoArea, place});
  else if (*annotation.area <= 0)
    found.push_back({Defect::kBadArea, fmt::format("{}: {}", place, *annotation.area)});
  return found;
}

}  // namespace

CheckedPicture check_picture(const CocoImage& image, const std::filesystem::path& folder,
                             const std::function<ImageSize(const std::filesystem::path&)>& size_of) {
  if (image.file_name.empty()) return {PictureFault::kAbsent, fmt::format("image {}, without file_name", image.id)};
  const std::filesystem::path file = folder / image.file_name;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {PictureFault::kAbsent, image.file_name};
  try {
    const ImageSize size = size_of(file);
    if (size == ImageSize{image.height, image.width}) return {};
    return {PictureFault::kOtherSize, fmt::format("{} is {} x {} (height x width), annotated {} x {}", image.file_name,
                                                  size.height, size.width, image.height, image.width)};
  } catch (const Error& error) {
    return {PictureFault::kUnreadable, error.what()};
  }
}

std::vector<std::string> strange_categories(const CocoDataset& dataset, const CocoDataset& other) {
  std::vector<std::string> strange;
  for (const CocoCategory& category : dataset.categories) {
    const auto found = other.class_index.find(category.id);
    if (found == other.class_index.end()) {
      strange.push_back(fmt::format("{} \"{}\"", category.id, category.name));
      continue;
    }
    const std::string& name = other.categories[static_cast<size_t>(found->second)].name;
    if (name != category.name)
      strange.push_back(fmt::format("{} \"{}\", there \"{}\"", category.id, category.name, name));
  }
  return strange;
}

DataCheck::DataCheck(CocoDataset dataset) : dataset_(std::move(dataset)) {
  std::unordered_set<i64> images, categories, annotations;
  const auto repeated = [&](std::unordered_set<i64>& seen, i64 id, const char* kind) {
    if (seen.insert(id).second) return false;
    add(Defect::kRepeatedId, fmt::format("{} {}", kind, id));
    return true;
  };
  std::erase_if(dataset_.images, [&](const CocoImage& image) { return repeated(images, image.id, "image"); });
  std::erase_if(dataset_.categories,
                [&](const CocoCategory& category) { return repeated(categories, category.id, "category"); });
  std::erase_if(dataset_.annotations, [&](const CocoAnnotation& annotation) {
    const bool image = images.contains(annotation.image_id), category = categories.contains(annotation.category_id);
    if (!image)
      add(Defect::kUnknownId, fmt::format("annotation {}: there is no image {}", annotation.id, annotation.image_id));
    if (!category)
      add(Defect::kUnknownId,
          fmt::format("annotation {}: there is no category {}", annotation.id, annotation.category_id));
    return repeated(annotations, annotation.id, "annotation") || !image || !category;
  });
  index_coco(dataset_);

  std::vector<bool> used(dataset_.categories.size());
  for (const CocoAnnotation& annotation : dataset_.annotations)
    if (!annotation.iscrowd) used[static_cast<size_t>(dataset_.class_index.at(annotation.category_id))] = true;
  if (std::ranges::find(used, true) == used.end())
    add(Defect::kNoObject, fmt::format("{}: {} pictures, {} annotations", dataset_.name, dataset_.images.size(),
                                       dataset_.annotations.size()));
  for (size_t k = 0; k < used.size(); ++k)
    if (!used[k]) add(Defect::kUnusedClass, dataset_.categories[k].name);
}

void DataCheck::check_annotations(const Counted& counted) {
  std::vector<std::vector<Found>> found(dataset_.annotations.size());
  const auto check = [&](i64 i) {
    const CocoAnnotation& annotation = dataset_.annotations[static_cast<size_t>(i)];
    const i64 image = dataset_.image_index.at(annotation.image_id);
    found[static_cast<size_t>(i)] = defects_of(annotation, dataset_.images[static_cast<size_t>(image)]);
  };
  counted_for(std::ssize(found), counted, check, 16);
  for (std::vector<Found>& of_annotation : found)
    for (auto& [defect, what] : of_annotation) add(defect, std::move(what));
}

void DataCheck::check_pictures(const std::filesystem::path& folder, const Counted& counted) {
  const std::vector<CocoImage>& images = dataset_.images;
  std::vector<CheckedPicture> checked(images.size());
  std::vector<std::string> warnings(images.size());
  contents_.assign(images.size(), std::nullopt);
  const auto check = [&](i64 i) {
    const auto decode = [&](const std::filesystem::path& file) -> ImageSize {
      const std::string bytes = read_file(file);
      contents_[static_cast<size_t>(i)] = Content{bytes.size(), std::hash<std::string_view>()(bytes)};
      const Tensor picture = decode_image(bytes, file.string(), &warnings[static_cast<size_t>(i)]);
      return {picture.dim(0), picture.dim(1)};
    };
    checked[static_cast<size_t>(i)] = check_picture(images[static_cast<size_t>(i)], folder, decode);
  };
  counted_for(std::ssize(images), counted, check, 1);

  std::map<Content, size_t> first;
  for (size_t i = 0; i < images.size(); ++i) {
    auto& [fault, what] = checked[i];
    if (fault == PictureFault::kAbsent) add(Defect::kAbsentPicture, std::move(what));
    if (fault == PictureFault::kUnreadable) add(Defect::kDamagedPicture, std::move(what));
    if (fault == PictureFault::kOtherSize) add(Defect::kOtherSize, std::move(what));
    if (!warnings[i].empty()) add(Defect::kDamagedPart, fmt::format("{}: {}", named(images[i]), warnings[i]));
    if (!contents_[i]) continue;
    if (const auto [other, fresh] = first.emplace(*contents_[i], i); !fresh)
      add(Defect::kDuplicate, fmt::format("{} = {}", named(images[i]), named(images[other->second])));
  }
}

void DataCheck::check_against(const DataCheck& train) {
  for (std::string& category : strange_categories(dataset_, train.dataset_))
    add(Defect::kStrangeCategory, std::move(category));
  std::map<Content, size_t> trained;
  for (size_t i = 0; i < train.contents_.size(); ++i)
    if (train.contents_[i]) trained.emplace(*train.contents_[i], i);
  for (size_t i = 0; i < contents_.size(); ++i) {
    if (!contents_[i]) continue;
    if (const auto found = trained.find(*contents_[i]); found != trained.end())
      add(Defect::kLeak,
          fmt::format("{} = {} there", named(dataset_.images[i]), named(train.dataset_.images[found->second])));
  }
}

i64 DataCheck::count(bool faults) const {
  i64 count = 0;
  for (const DefectKind& kind : kDefectKinds)
    if (kind.is_fault() == faults) count += std::ssize(found(kind.defect));
  return count;
}

}  // namespace tessera
