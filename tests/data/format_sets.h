// Data sets to convert, and what is in them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>

#include "data/formats/formats.h"
#include "data/image.h"
#include "data/shapes.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera::test {

namespace fs = std::filesystem;

inline void ignored(i64, i64) {}

inline const fs::path& shapes() {
  static const TemporaryFolder folder;
  static const fs::path made = [] {
    generate_shapes({.dir = folder.path(), .kind = ShapesKind::kFine, .train = 5, .val = 2, .size = 96});
    return folder.path();
  }();
  return made;
}

inline AnnotatedPictures read(const char* format, const fs::path& annotations, const fs::path& images = {},
                              const std::string& split = "train") {
  return find_format(format).read({annotations, images, split}, ignored);
}

// Of every object its picture, its class and its mask, in no order: ids and places are the formats'.
inline std::vector<std::string> content(const AnnotatedPictures& set) {
  std::vector<std::string> objects;
  for (const CocoAnnotation& annotation : set.dataset.annotations) {
    const CocoImage& image = set.dataset.images[set.dataset.image_index.at(annotation.image_id)];
    objects.push_back(fs::path(image.file_name).stem().string() + " " +
                      set.dataset.categories[set.dataset.class_index.at(annotation.category_id)].name + " " +
                      rle_to_string(annotation_mask(annotation, image.height, image.width)));
  }
  std::ranges::sort(objects);
  return objects;
}

inline i64 count(const LeftOut& left_out, const std::string& what) {
  const auto found = left_out.find(what);
  return found == left_out.end() ? 0 : found->second.count;
}

// A data set of one picture of 20 x 30 with these objects of the classes cat and dog.
inline AnnotatedPictures one_picture(const TemporaryFolder& folder, std::vector<CocoAnnotation> annotations) {
  AnnotatedPictures set{.dataset = {}, .images = folder.path()};
  save_png(folder / "a.png", Tensor::full({20, 30, 3}, 9, DType::kU8));
  set.dataset.name = "one.json";
  set.dataset.images = {{7, "a.png", 20, 30}};
  set.dataset.categories = {{3, "cat"}, {8, "dog"}};
  for (CocoAnnotation& annotation : annotations) {
    annotation.id = std::ssize(set.dataset.annotations) + 100;
    annotation.image_id = 7;
    if (annotation.category_id == 0) annotation.category_id = 3;
    set.dataset.annotations.push_back(annotation);
  }
  index_coco(set.dataset);
  return set;
}

inline void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  write_file(path, text);
}

}  // namespace tessera::test
