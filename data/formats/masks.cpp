// Folders of PNGs. "masks": a folder for each picture, called as it is without extension, in it a PNG for each object,
// whose pixels are those that are not black:
//
//   a/cat/000.png  a/cat/001.png  a/dog/000.png  b/..
//
// The folder in between is the class; directly below the picture's, or in one called "masks", it is "object", and a
// folder "images" there has the picture. classes.txt, where there is one, gives the classes their order.
//
// "label-maps": a PNG for each picture in which 0 is the ground and any other value an object. Where there is a
// classes.txt, object n of class k, both from 1, has the value 1000 k + n.
#include <fmt/format.h>

#include <algorithm>

#include "data/formats/parts.h"
#include "data/label_map.h"
#include "data/parallel.h"
#include "tensor/file.h"

namespace tessera::formats {

namespace {

constexpr const char* kClasses = "classes.txt";
constexpr const char* kAnyClass = "object";
constexpr i32 kOfClass = 1000;

Rle read_mask(const fs::path& file, const CocoImage& image) {
  const Tensor pixels = load_image(file);
  check_drawn_size(file, "the mask", pixels, image);
  return encode_rle(not_black(pixels));
}

const fs::path& images_of(const AnnotatedFiles& files) {
  TESSERA_CHECK(!files.images.empty(), "{}: the folder of its pictures is not known; --images names it",
                files.annotations.string());
  return files.images;
}

std::string class_names(const CocoDataset& dataset) {
  std::string text;
  for (const CocoCategory& category : dataset.categories) text += category.name + "\n";
  return text;
}

}  // namespace

AnnotatedPictures read_masks(const AnnotatedFiles& files, const Counted& counted) {
  const fs::path& images = images_of(files);
  const PictureFiles known(images);
  const std::vector<std::string> classes = read_classes(files.annotations / kClasses);
  std::vector<fs::path> folders = entries_of(files.annotations);
  std::erase_if(folders, [](const fs::path& entry) { return !fs::is_directory(entry); });
  std::vector<ReadPicture> pictures(folders.size());
  std::vector<std::vector<fs::path>> masks(folders.size());
  const auto read = [&](i64 i) {
    ReadPicture& picture = pictures[i];
    picture.image = image_of(known.find(folders[i].filename().string()), images);
    const auto add = [&](const fs::path& file, const std::string& name) {
      if (lower_extension(file) != ".png") return;
      TESSERA_CHECK(classes.empty() || std::ranges::find(classes, name) != classes.end(),
                    "{}: there is no class {} in {}", file.string(), name, kClasses);
      picture.objects.push_back({name, object_of(read_mask(file, picture.image))});
      masks[i].push_back(file);
    };
    for (const fs::path& entry : entries_of(folders[i])) {
      const std::string name = entry.filename().string();
      if (!fs::is_directory(entry)) {
        add(entry, kAnyClass);
      } else if (name != "images") {
        for (const fs::path& file : entries_of(entry)) add(file, name == "masks" ? kAnyClass : name);
      }
    }
  };
  counted_for(std::ssize(folders), counted, read, 1);
  AnnotatedPictures set = assembled(files.annotations, images, std::move(pictures), classes);
  std::vector<fs::path> taken = {files.annotations / kClasses};
  for (const std::vector<fs::path>& of_picture : masks) taken.insert(taken.end(), of_picture.begin(), of_picture.end());
  count_others(files.annotations, taken, set);
  return set;
}

LeftOut write_masks(const AnnotatedPictures& set, const fs::path& out, const std::string&, const Counted& counted) {
  const CocoDataset& dataset = set.dataset;
  const std::vector<std::string> stems = stems_of(dataset);
  check_class_names(dataset);
  for (const CocoCategory& category : dataset.categories)
    TESSERA_CHECK(category.name != "." && category.name != ".." && category.name != "masks" &&
                      category.name != "images" && category.name.find('/') == std::string::npos,
                  "{}: a class called {} cannot be a folder of masks; rename it", dataset.name, category.name);
  std::vector<std::vector<fs::path>> paths(stems.size());
  std::vector<std::vector<MaskedObject>> objects(stems.size());
  const LeftOut left_out = for_each_picture(
      dataset, [](i64, i64) {},
      [&](i64 i, LeftOut& missing) {
        objects[i] = masked_objects(dataset, i, false, missing);
        std::map<i64, i64> numbers;
        for (const MaskedObject& object : objects[i])
          paths[i].push_back(out / stems[i] / dataset.categories[object.class_index].name /
                             fmt::format("{:03}.png", numbers[object.class_index]++));
      });
  std::vector<fs::path> all;
  for (const std::vector<fs::path>& of_picture : paths) all.insert(all.end(), of_picture.begin(), of_picture.end());
  check_strangers(out, ".png", all);
  write_shared(out / kClasses, class_names(dataset));
  for_each_picture(dataset, counted, [&](i64 i, LeftOut&) {
    fs::create_directories(out / stems[i]);
    for (size_t k = 0; k < paths[i].size(); ++k) {
      Tensor mask = decode_rle(objects[i][k].mask);
      for (u8& value : mask.span<u8>()) value = value ? 255 : 0;
      write_text(paths[i][k], encode_png(mask));
    }
  });
  return left_out;
}

AnnotatedPictures read_label_maps(const AnnotatedFiles& files, const Counted& counted) {
  const fs::path& images = images_of(files);
  const PictureFiles known(images);
  const std::vector<std::string> classes = read_classes(files.annotations / kClasses);
  std::vector<fs::path> maps = entries_of(files.annotations);
  std::erase_if(maps, [](const fs::path& file) { return lower_extension(file) != ".png"; });
  std::vector<ReadPicture> pictures(maps.size());
  const auto read = [&](i64 i) {
    ReadPicture& picture = pictures[i];
    picture.image = image_of(known.find(maps[i].stem().string()), images);
    const Tensor map = load_indices(maps[i]);
    check_drawn_size(maps[i], "the map", map, picture.image);
    for (LabelRegion& region : regions_of(map)) {
      if (region.value == 0) continue;
      const i32 k = region.value / kOfClass;
      TESSERA_CHECK(
          classes.empty() || (k >= 1 && k <= std::ssize(classes)),
          "{}: {} pixels have the value {}, which is not 1000 * class + number of one of the {} classes in {}",
          maps[i].string(), rle_area(region.mask), region.value, classes.size(), kClasses);
      picture.objects.push_back(
          {classes.empty() ? kAnyClass : classes[static_cast<size_t>(k) - 1], object_of(std::move(region.mask))});
    }
  };
  counted_for(std::ssize(maps), counted, read, 1);
  AnnotatedPictures set = assembled(files.annotations, images, std::move(pictures), classes);
  maps.push_back(files.annotations / kClasses);
  count_others(files.annotations, maps, set);
  return set;
}

LeftOut write_label_maps(const AnnotatedPictures& set, const fs::path& out, const std::string&,
                         const Counted& counted) {
  const CocoDataset& dataset = set.dataset;
  constexpr i64 kMostClasses = 0xFFFF / kOfClass - 1;  // so that all numbers fit
  TESSERA_CHECK(std::ssize(dataset.categories) <= kMostClasses,
                "{}: {} classes; label maps of 16 bits hold at most {}; write masks", dataset.name,
                dataset.categories.size(), kMostClasses);
  check_class_names(dataset);
  std::vector<fs::path> paths;
  for (const std::string& stem : stems_of(dataset)) paths.push_back(out / (stem + ".png"));
  check_strangers(out, ".png", paths);
  write_shared(out / kClasses, class_names(dataset));
  return for_each_picture(dataset, counted, [&](i64 i, LeftOut& left_out) {
    const CocoImage& image = dataset.images[i];
    Overlay overlay = overlaid(masked_objects(dataset, i, false, left_out), {image.height, image.width}, left_out);
    std::vector<i32> values = {0};
    std::map<i64, i32> numbers;
    for (const MaskedObject& object : overlay.objects) {
      const i32 number = ++numbers[object.class_index];
      TESSERA_CHECK(number < kOfClass, "{}: {}: more than {} objects of a class; write masks", dataset.name,
                    image.file_name, kOfClass - 1);
      values.push_back(kOfClass * (static_cast<i32>(object.class_index) + 1) + number);
    }
    for (i32& value : overlay.map.span<i32>()) value = values[static_cast<size_t>(value)];
    write_text(paths[i], encode_png(overlay.map));
  });
}

}  // namespace tessera::formats
