// Cityscapes (data/cityscapes.h), whose classes are its own: objects go by the names of their classes. Pictures become
// PNGs and get names in its form, if they have none.
#include "data/cityscapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "data/formats/parts.h"
#include "data/label_map.h"
#include "data/parallel.h"
#include "tensor/file.h"

namespace tessera::formats {

namespace {

constexpr i64 kOfLabel = 1000;

// <city>_<seq>_<frame>
std::string name_of_picture(const CocoImage& image, i64 i) {
  std::string name = fs::path(image.file_name).filename().string();
  if (name.ends_with(kCityscapesPicture)) name.resize(name.size() - kCityscapesPicture.size());
  static const std::regex form("[^_]+_[0-9]{6}_[0-9]{6}");
  return std::regex_match(name, form) ? name : fmt::format("set_{:06}_000000", i);
}

// Labels by class index, 0: the class is none of Cityscapes' with instances.
std::vector<i64> labels_of(const CocoDataset& dataset) {
  std::vector<i64> labels;
  for (const CocoCategory& category : dataset.categories) {
    const auto known = cityscapes_labels();
    const auto label =
        std::ranges::find_if(known, [&](const CityscapesLabel& l) { return l.instances && category.name == l.name; });
    labels.push_back(label == known.end() ? 0 : label->id);
  }
  TESSERA_CHECK(
      std::ranges::any_of(labels, [](i64 label) { return label != 0; }),
      "{}: no class is called as one of Cityscapes' (person, rider, car, truck, bus, caravan, trailer, train, "
      "motorcycle, bicycle)",
      dataset.name);
  return labels;
}

}  // namespace

AnnotatedPictures read_cityscapes(const AnnotatedFiles& files, const Counted&) {
  const fs::path of_split = files.annotations / "gtFine" / files.split;
  const bool whole = fs::is_directory(of_split);
  Tally others;
  AnnotatedPictures set{.dataset = load_cityscapes(whole ? of_split : files.annotations, &others),
                        .images = files.images};
  if (others.count > 0) set.left_out["objects of classes that Cityscapes does not evaluate"] = others;
  if (whole && files.images.empty()) set.images = files.annotations / "leftImg8bit" / files.split;
  return set;
}

LeftOut write_cityscapes(const AnnotatedPictures& set, const fs::path& out, const std::string& split,
                         const Counted& counted) {
  const CocoDataset& dataset = set.dataset;
  const std::vector<i64> labels = labels_of(dataset);
  std::vector<std::string> names;
  for (const CocoImage& image : dataset.images) names.push_back(name_of_picture(image, std::ssize(names)));
  check_distinct(dataset, names);
  std::vector<fs::path> images, instances, label_maps;
  for (const std::string& name : names) {
    const std::string city = name.substr(0, name.find('_'));
    const auto file = [&](const char* top, std::string_view ending) {
      return out / top / split / city / fmt::format("{}{}", name, ending);
    };
    images.push_back(file("leftImg8bit", kCityscapesPicture));
    instances.push_back(file("gtFine", kCityscapesInstances));
    label_maps.push_back(file("gtFine", kCityscapesLabels));
  }
  std::vector<fs::path> ours = instances;
  ours.insert(ours.end(), label_maps.begin(), label_maps.end());
  check_strangers(out / "gtFine" / split, ".png", ours);
  return for_each_picture(dataset, counted, [&](i64 i, LeftOut& left_out) {
    const CocoImage& image = dataset.images[i];
    std::vector<MaskedObject> objects = masked_objects(dataset, i, true, left_out);
    std::erase_if(objects, [&](const MaskedObject& object) {
      if (labels[object.class_index] != 0) return false;
      left_out["objects of classes that Cityscapes has not"].add(
          fmt::format("annotation {}: {}", object.annotation->id, dataset.categories[object.class_index].name));
      return true;
    });
    Overlay overlay = overlaid(std::move(objects), {image.height, image.width}, left_out);
    std::vector<i32> values = {0};  // unlabeled
    std::map<i64, i64> numbers;
    for (const MaskedObject& object : overlay.objects) {
      const i64 label = labels[object.class_index], number = object.annotation->iscrowd ? 0 : numbers[label]++;
      TESSERA_CHECK(number < kOfLabel, "{}: {}: more than {} objects of class {}", dataset.name, image.file_name,
                    kOfLabel, find_cityscapes_label(label)->name);
      values.push_back(static_cast<i32>(object.annotation->iscrowd ? label : kOfLabel * label + number));
    }
    Tensor classes = Tensor::empty(overlay.map.shape(), DType::kU8);
    std::span<u8> class_map = classes.span<u8>();
    std::span<i32> map = overlay.map.span<i32>();
    for (size_t p = 0; p < map.size(); ++p) {
      map[p] = values[static_cast<size_t>(map[p])];
      class_map[p] = static_cast<u8>(map[p] < kOfLabel ? map[p] : map[p] / kOfLabel);
    }
    const fs::path picture = set.images / image.file_name;
    if (picture.extension() == ".png")
      link_picture(picture, images[i]);
    else
      write_text(images[i], encode_png(load_image(picture)));
    write_text(label_maps[i], encode_png(classes));
    write_text(instances[i], encode_png(overlay.map));
  });
}

}  // namespace tessera::formats
