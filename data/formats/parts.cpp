#include "data/formats/parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>

#include "data/contours.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "tensor/file.h"

namespace tessera::formats {

namespace {

void merge(LeftOut& all, const LeftOut& more) {
  for (const auto& [what, tally] : more) {
    Tally& sum = all[what];
    for (const std::string& name : tally.first)
      if (std::ssize(sum.first) < Tally::kNamed) sum.first.push_back(name);
    sum.count += tally.count;
  }
}

// Box and area as those of the mask, where there is one and the format has none.
void complete(CocoAnnotation& annotation, const CocoImage& image) {
  if (std::holds_alternative<std::monostate>(annotation.segmentation)) return;
  const Rle mask = annotation_mask(annotation, image.height, image.width);
  if (!annotation.bbox) annotation.bbox = rle_bbox(mask);
  if (!annotation.area) annotation.area = static_cast<double>(rle_area(mask));
}

}  // namespace

// ---- reading ----

AnnotatedPictures assembled(const fs::path& name, const fs::path& images, std::vector<ReadPicture> pictures,
                            std::vector<std::string> classes) {
  TESSERA_CHECK(!pictures.empty(), "{}: there is no picture in it", name.string());
  AnnotatedPictures set{.dataset = {}, .images = images};
  CocoDataset& dataset = set.dataset;
  dataset.name = name.string();
  if (classes.empty()) {
    std::set<std::string> names;
    for (const ReadPicture& picture : pictures)
      for (const NamedObject& object : picture.objects) names.insert(object.name);
    classes.assign(names.begin(), names.end());
  }
  std::map<std::string, i64> ids;
  for (const std::string& entry : classes) {
    dataset.categories.push_back({.id = std::ssize(dataset.categories) + 1, .name = entry});
    TESSERA_CHECK(ids.emplace(entry, dataset.categories.back().id).second, "{}: there are two classes called {}",
                  dataset.name, entry);
  }
  parallel_for(std::ssize(pictures), [&](i64 i) {
    ReadPicture& picture = pictures[static_cast<size_t>(i)];
    try {
      for (NamedObject& object : picture.objects) complete(object.annotation, picture.image);
    } catch (const Error& error) {
      fail("{}: {}: {}", dataset.name, picture.image.file_name, error.what());
    }
  });
  for (ReadPicture& picture : pictures) {
    picture.image.id = std::ssize(dataset.images) + 1;
    dataset.images.push_back(picture.image);
    for (NamedObject& object : picture.objects) {
      CocoAnnotation& annotation = dataset.annotations.emplace_back(std::move(object.annotation));
      annotation.id = std::ssize(dataset.annotations);
      annotation.image_id = picture.image.id;
      annotation.category_id = ids.at(object.name);
    }
    merge(set.left_out, picture.left_out);
  }
  index_coco(dataset);
  return set;
}

void check_drawn_size(const fs::path& file, const char* what, const Tensor& drawn, const CocoImage& picture) {
  TESSERA_CHECK(drawn.dim(0) == picture.height && drawn.dim(1) == picture.width,
                "{}: {} is {} x {} pixels (height x width), its picture {} {} x {}", file.string(), what, drawn.dim(0),
                drawn.dim(1), picture.file_name, picture.height, picture.width);
}

Tensor not_black(const Tensor& drawn) {
  Tensor mask = Tensor::empty({drawn.dim(0), drawn.dim(1)}, DType::kU8);
  const u8* rgb = drawn.data<u8>();
  for (u8& value : mask.span<u8>()) {
    value = rgb[0] | rgb[1] | rgb[2];
    rgb += 3;
  }
  return mask;
}

double parse_number(std::string_view word) {
  double number = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  TESSERA_CHECK(error == std::errc() && stop == end && std::isfinite(number), "\"{}\" is no number", word);
  return number;
}

CocoAnnotation object_of(Rle mask) {
  CocoAnnotation annotation;
  annotation.segmentation = std::move(mask);
  return annotation;
}

// ---- writing ----

std::vector<MaskedObject> masked_objects(const CocoDataset& dataset, i64 image, bool crowds, LeftOut& left_out) {
  const CocoImage& picture = dataset.images[static_cast<size_t>(image)];
  std::vector<MaskedObject> objects;
  for (const i64 position : dataset.annotations_of[static_cast<size_t>(image)]) {
    const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
    const auto leave_out = [&](const char* what) { left_out[what].add(fmt::format("annotation {}", annotation.id)); };
    if (annotation.iscrowd && !crowds) {
      leave_out("crowd regions");
    } else if (std::holds_alternative<std::monostate>(annotation.segmentation)) {
      leave_out("objects without a mask");
    } else {
      try {
        Rle mask = annotation_mask(annotation, picture.height, picture.width);
        if (rle_area(mask) > 0)
          objects.push_back({&annotation, dataset.class_index.at(annotation.category_id), std::move(mask)});
        else
          leave_out("objects whose mask has no pixel");
      } catch (const Error&) {
        leave_out("objects with a malformed mask");
      }
    }
  }
  return objects;
}

Polygons outlines_of(const MaskedObject& object) {
  const Polygons* polygons = std::get_if<Polygons>(&object.annotation->segmentation);
  return polygons ? *polygons : trace_mask(object.mask);
}

Overlay overlaid(std::vector<MaskedObject> objects, ImageSize size, LeftOut& left_out) {
  std::vector<size_t> order(objects.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<i64> areas;
  for (const MaskedObject& object : objects) areas.push_back(rle_area(object.mask));
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return areas[a] > areas[b]; });
  std::vector<i32> number(static_cast<size_t>(size.height * size.width), 0);
  std::vector<u8> plane(number.size());
  for (const size_t k : order) {
    decode_rle(objects[k].mask, plane);
    for (size_t i = 0; i < plane.size(); ++i)
      if (plane[i]) number[i] = static_cast<i32>(k) + 1;
  }
  std::vector<i64> left(objects.size() + 1);
  for (const i32 k : number) ++left[static_cast<size_t>(k)];
  Overlay overlay{.map = Tensor::empty({size.height, size.width}, DType::kI32), .objects = {}};
  std::vector<i32> renumbered(left.size());
  for (size_t k = 0; k < objects.size(); ++k) {
    const std::string name = fmt::format("annotation {}", objects[k].annotation->id);
    if (left[k + 1] == 0)
      left_out["objects that others hide"].add(name);
    else if (left[k + 1] < areas[k])
      left_out["parts of objects that smaller ones cover"].add(name);
    if (left[k + 1] == 0) continue;
    overlay.objects.push_back(std::move(objects[k]));
    renumbered[k + 1] = static_cast<i32>(overlay.objects.size());
  }
  std::ranges::transform(number, overlay.map.span<i32>().begin(),
                         [&](i32 k) { return renumbered[static_cast<size_t>(k)]; });
  return overlay;
}

std::vector<std::string> stems_of(const CocoDataset& dataset) {
  std::vector<std::string> stems;
  for (const CocoImage& image : dataset.images) {
    std::string& stem = stems.emplace_back(fs::path(image.file_name).replace_extension().generic_string());
    std::ranges::replace(stem, '/', '_');
    TESSERA_CHECK(!stem.empty(), "{}: image {} has no file_name", dataset.name, image.id);
  }
  check_distinct(dataset, stems);
  return stems;
}

void check_distinct(const CocoDataset& dataset, const std::vector<std::string>& names) {
  std::map<std::string, std::string> of;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [other, first] = of.emplace(names[i], dataset.images[i].file_name);
    TESSERA_CHECK(first, "{}: pictures {} and {} would both be called {}: rename one", dataset.name, other->second,
                  dataset.images[i].file_name, names[i]);
  }
}

void check_class_names(const CocoDataset& dataset, std::string_view forbidden) {
  std::set<std::string_view> names;
  for (const CocoCategory& category : dataset.categories) {
    const std::string& name = category.name;
    TESSERA_CHECK(name.find_first_not_of(" \t") != name.npos && name.find_first_of(forbidden) == name.npos,
                  "{}: category {}: a class cannot be called \"{}\" in this format; rename it", dataset.name,
                  category.id, name);
    TESSERA_CHECK(names.insert(name).second, "{}: two categories are called {}; rename one", dataset.name, name);
  }
}

std::string extension_of(const CocoImage& image) {
  return fs::path(image.file_name).extension().string();
}

LeftOut for_each_picture(const CocoDataset& dataset, const Counted& counted,
                         const std::function<void(i64, LeftOut&)>& f) {
  std::vector<LeftOut> left_out(dataset.images.size());
  for (const CocoImage& image : dataset.images) try {
      check_mask_size(image.height, image.width);
    } catch (const Error& error) {
      fail("{}: {}: {}", dataset.name, image.file_name, error.what());
    }
  counted_for(
      std::ssize(left_out), counted, [&](i64 i) { f(i, left_out[static_cast<size_t>(i)]); }, 1);
  LeftOut all;
  for (const LeftOut& of_picture : left_out) merge(all, of_picture);
  return all;
}

}  // namespace tessera::formats
