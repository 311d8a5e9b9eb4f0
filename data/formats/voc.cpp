// Pascal VOC, as its VOCdevkit has it:
//
//   ImageSets/Segmentation/train.txt   the names of a split's pictures, a line each
//   JPEGImages/a.jpg                   the pictures
//   Annotations/a.xml                  <object> with <name> and <bndbox>, corners counted from 1 and both included
//   SegmentationObject/a.png           palette indices: n for the n-th <object>, 0 the ground, 255 borders
//   SegmentationClass/a.png            the same with classes, from 1 in the order of labelmap.txt
//
// labelmap.txt, a line "name:red,green,blue::" per class behind the background's, is CVAT's addition. Without it the
// classes are the names that occur, sorted, as VOC's twenty are. An object without a pixel in the PNG has a box alone.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <pugixml.hpp>
#include <set>

#include "data/formats/parts.h"
#include "data/label_map.h"
#include "data/parallel.h"
#include "tensor/file.h"

namespace tessera::formats {

namespace {

constexpr i32 kBorder = 255;
constexpr const char* kClasses = "labelmap.txt";
constexpr const char* kGround = "background";  // its class

// The colours of VOC's palette: the bits of the index, spread over the three channels from the highest down.
Palette voc_palette() {
  Palette palette;
  for (int index = 0; index < 256; ++index) {
    std::array<u8, 3> colour{};
    for (int bit = 0; bit < 8; ++bit)
      for (int c = 0; c < 3; ++c)
        if (bit % 3 == c && (index >> bit & 1)) colour[static_cast<size_t>(c)] |= static_cast<u8>(128 >> bit / 3);
    palette.push_back(colour);
  }
  return palette;
}

std::vector<std::string> read_labelmap(const fs::path& file) {
  std::vector<std::string> classes;
  if (fs::exists(file)) classes = lines_of(file);
  std::erase_if(classes, [](const std::string& line) { return line.empty() || line.starts_with('#'); });
  for (std::string& line : classes) line.resize(std::min(line.find(':'), line.size()));
  std::erase(classes, kGround);
  return classes;
}

std::string labelmap(const CocoDataset& dataset, const Palette& palette) {
  std::string text = fmt::format("# label:color_rgb:parts:actions\n{}:0,0,0::\n", kGround);
  for (size_t k = 0; k < dataset.categories.size(); ++k)
    text += fmt::format("{}:{}::\n", dataset.categories[k].name, fmt::join(palette[k + 1], ","));
  return text;
}

// The folders of the pictures are those of other splits, too: two pictures of one name would be one.
void check_other_splits(const fs::path& list, const std::vector<std::string>& stems) {
  if (!fs::is_directory(list.parent_path())) return;
  const std::set<std::string> ours(stems.begin(), stems.end());
  for (const fs::path& other : entries_of(list.parent_path())) {
    if (other.extension() != ".txt" || other.filename() == list.filename()) continue;
    for (const std::string& name : lines_of(other))
      TESSERA_CHECK(!ours.contains(name),
                    "{}: has a picture {}, too, whose files would be replaced; name another folder", other.string(),
                    name);
  }
}

// The objects of an annotation file with their boxes.
std::vector<NamedObject> read_objects(const fs::path& file) {
  const std::string text = read_file(file);
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_buffer(text.data(), text.size());
  const auto line_of = [&](std::ptrdiff_t offset) {
    const auto end = text.begin() + std::clamp<std::ptrdiff_t>(offset, 0, std::ssize(text));
    return std::count(text.begin(), end, '\n') + 1;
  };
  TESSERA_CHECK(result, "{}:{}: is no XML: {}", file.string(), line_of(result.offset), result.description());
  std::vector<NamedObject> objects;
  for (const pugi::xml_node node : document.child("annotation").children("object")) {
    const i64 line = line_of(node.offset_debug());
    NamedObject& object = objects.emplace_back();
    object.name = node.child_value("name");
    TESSERA_CHECK(!object.name.empty(), "{}:{}: an <object> has no <name>", file.string(), line);
    const pugi::xml_node box = node.child("bndbox");
    if (!box) continue;
    std::array<double, 4> corners{};
    constexpr const char* kCorners[] = {"xmin", "ymin", "xmax", "ymax"};
    for (size_t i = 0; i < 4; ++i) {
      try {
        corners[i] = parse_number(box.child_value(kCorners[i]));
      } catch (const Error& error) {
        fail("{}:{}: <bndbox>: <{}>: {}", file.string(), line, kCorners[i], error.what());
      }
    }
    const auto [left, top, right, bottom] = corners;
    object.annotation.bbox = {left - 1, top - 1, right - left + 1, bottom - top + 1};
  }
  return objects;
}

std::string text_of(const pugi::xml_document& document) {
  struct Text : pugi::xml_writer {
    std::string text;
    void write(const void* data, size_t size) override { text.append(static_cast<const char*>(data), size); }
  } text;
  document.save(text, "  ", pugi::format_indent | pugi::format_no_declaration);
  return text.text;
}

std::string annotation_text(const CocoDataset& dataset, const CocoImage& image, const std::string& file_name,
                            const std::vector<MaskedObject>& objects) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("annotation");
  root.append_child("filename").text() = file_name.c_str();
  pugi::xml_node size = root.append_child("size");
  size.append_child("width").text() = static_cast<long long>(image.width);
  size.append_child("height").text() = static_cast<long long>(image.height);
  size.append_child("depth").text() = 3;
  root.append_child("segmented").text() = 1;
  for (const MaskedObject& object : objects) {
    pugi::xml_node node = root.append_child("object");
    node.append_child("name").text() = dataset.categories[object.class_index].name.c_str();
    for (const char* flag : {"truncated", "difficult"}) node.append_child(flag).text() = 0;
    const auto [x, y, width, height] = object.annotation->bbox.value_or(rle_bbox(object.mask));
    pugi::xml_node box = node.append_child("bndbox");
    const auto corner = [&](const char* name, double place, i64 side) {
      box.append_child(name).text() = static_cast<long long>(std::clamp(place, 1.0, static_cast<double>(side)));
    };
    corner("xmin", std::floor(x) + 1, image.width);
    corner("ymin", std::floor(y) + 1, image.height);
    corner("xmax", std::ceil(x + width), image.width);
    corner("ymax", std::ceil(y + height), image.height);
  }
  return text_of(document);
}

}  // namespace

AnnotatedPictures read_voc(const AnnotatedFiles& files, const Counted& counted) {
  const fs::path& top = files.annotations;
  const fs::path list = top / "ImageSets" / "Segmentation" / (files.split + ".txt");
  TESSERA_CHECK(fs::exists(list), "{}: there is no such file, the list of the split's pictures; --split names another",
                list.string());
  const fs::path images = files.images.empty() ? top / "JPEGImages" : files.images;
  const PictureFiles known(images);
  std::vector<std::string> names = lines_of(list);
  std::erase(names, "");
  const std::vector<std::string> classes = read_labelmap(top / kClasses);
  std::vector<ReadPicture> pictures(names.size());
  const auto read = [&](i64 i) {
    ReadPicture& picture = pictures[i];
    picture.image = image_of(known.find(names[i]), images);
    const fs::path xml = top / "Annotations" / (names[i] + ".xml");
    const fs::path png = top / "SegmentationObject" / (names[i] + ".png");
    picture.objects = read_objects(xml);
    for (const NamedObject& object : picture.objects)
      TESSERA_CHECK(classes.empty() || std::ranges::find(classes, object.name) != classes.end(),
                    "{}: there is no class {} in {}", xml.string(), object.name, kClasses);
    const Tensor map = load_indices(png);
    check_drawn_size(png, "the map", map, picture.image);
    for (LabelRegion& region : regions_of(map)) {
      if (region.value == 0 || region.value == kBorder) continue;
      TESSERA_CHECK(region.value <= std::ssize(picture.objects),
                    "{}: {} pixels are of object {}, but {} has {} objects", png.string(), rle_area(region.mask),
                    region.value, xml.string(), picture.objects.size());
      picture.objects[static_cast<size_t>(region.value) - 1].annotation.segmentation = std::move(region.mask);
    }
  };
  counted_for(std::ssize(names), counted, read, 1);
  return assembled(top, images, std::move(pictures), classes);
}

LeftOut write_voc(const AnnotatedPictures& set, const fs::path& out, const std::string& split, const Counted& counted) {
  const CocoDataset& dataset = set.dataset;
  const std::vector<std::string> stems = stems_of(dataset);
  const Palette palette = voc_palette();
  TESSERA_CHECK(std::ssize(dataset.categories) < kBorder, "{}: {} classes; VOC's palette has room for {}", dataset.name,
                dataset.categories.size(), kBorder - 1);
  for (const CocoCategory& category : dataset.categories)
    TESSERA_CHECK(!category.name.starts_with('#') && category.name != kGround,
                  "{}: a class called {} would be taken for a remark or the ground in {}; rename it", dataset.name,
                  category.name, kClasses);
  const fs::path list = out / "ImageSets" / "Segmentation" / (split + ".txt");
  check_other_splits(list, stems);
  check_class_names(dataset, ":\r\n");
  write_shared(out / kClasses, labelmap(dataset, palette));
  const LeftOut left_out = for_each_picture(dataset, counted, [&](i64 i, LeftOut& missing) {
    const CocoImage& image = dataset.images[i];
    std::vector<MaskedObject> all = masked_objects(dataset, i, false, missing);
    while (std::ssize(all) >= kBorder) {
      missing["objects beyond the 254 of a picture"].add(fmt::format("annotation {}", all.back().annotation->id));
      all.pop_back();
    }
    const Overlay overlay = overlaid(std::move(all), {image.height, image.width}, missing);
    std::vector<u8> class_of = {0};
    for (const MaskedObject& object : overlay.objects) class_of.push_back(static_cast<u8>(object.class_index + 1));
    Tensor objects = Tensor::empty(overlay.map.shape(), DType::kU8), classes = objects.clone();
    std::ranges::transform(overlay.map.span<i32>(), objects.span<u8>().begin(), [](i32 n) { return u8(n); });
    std::ranges::transform(overlay.map.span<i32>(), classes.span<u8>().begin(),
                           [&](i32 n) { return class_of[static_cast<size_t>(n)]; });
    const std::string file_name = stems[i] + extension_of(image);
    link_picture(set.images / image.file_name, out / "JPEGImages" / file_name);
    write_text(out / "SegmentationObject" / (stems[i] + ".png"), encode_png(objects, palette));
    write_text(out / "SegmentationClass" / (stems[i] + ".png"), encode_png(classes, palette));
    write_text(out / "Annotations" / (stems[i] + ".xml"), annotation_text(dataset, image, file_name, overlay.objects));
  });
  std::string names;
  for (const std::string& stem : stems) names += stem + "\n";
  write_text(list, names);
  return left_out;
}

}  // namespace tessera::formats
