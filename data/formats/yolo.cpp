// YOLO segmentation, as Ultralytics' tools have it: images/train/a.jpg has its objects in labels/train/a.txt,
//
//   class x0 y0 x1 y1 x2 y2 ...
//
// a polygon per line, coordinates as shares of width and height. data.yaml beside the two folders has "names", and of
// each split where its images are; without it classes.txt has the names, a line each. Objects of several parts, and
// with holes, are one polygon with seams (data/contours.h). A line of five numbers is a box and no mask.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include "data/contours.h"
#include "data/formats/parts.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "tensor/file.h"

namespace tessera::formats {

namespace {

struct Yaml {
  std::vector<std::string> names;
  // Of each split folders, or files that list pictures. Splits have any name: other entries that are words, too.
  std::map<std::string, std::vector<std::string>> images;
  std::string path;  // what these are relative to; empty: the file's folder
};

bool is_reserved(const std::string& key) {
  return key == "names" || key == "path";
}

// What any of yaml-cpp's functions finds wrong, with the place in the file.
Yaml read_yaml(const fs::path& file) {
  Yaml yaml;
  try {
    const YAML::Node root = YAML::Load(read_file(file));
    TESSERA_CHECK(root.IsMap(), "{}: \"names:\" and \"train:\" are expected", file.string());
    const YAML::Node names = root["names"];
    if (names && names.IsSequence()) {
      yaml.names = names.as<std::vector<std::string>>();
    } else if (names && names.IsMap()) {
      for (size_t k = 0; k < names.size(); ++k) {
        TESSERA_CHECK(names[k], "{}: names: there are {}, but none is number {}", file.string(), names.size(), k);
        yaml.names.push_back(names[k].as<std::string>());
      }
    }
    TESSERA_CHECK(!yaml.names.empty(), "{}: there is no \"names:\", a list of the classes", file.string());
    if (root["path"]) yaml.path = root["path"].as<std::string>();
    for (const auto& entry : root) {
      const std::string key = entry.first.as<std::string>();
      const YAML::Node& images = entry.second;
      if (is_reserved(key)) continue;
      if (images.IsSequence() && std::ranges::all_of(images, [](const YAML::Node& place) { return place.IsScalar(); }))
        yaml.images[key] = images.as<std::vector<std::string>>();
      else if (images.IsScalar())
        yaml.images[key] = {images.as<std::string>()};
    }
  } catch (const YAML::Exception& error) {
    fail("{}:{}: {}", file.string(), error.mark.line + 1, error.msg);
  }
  return yaml;
}

constexpr double kFarthest = 1;  // from the centre: what reaches out of a picture has shares somewhat beyond 0 and 1

// Products of shares have digits that the coordinates never had.
double pixels(double share, i64 side) {
  constexpr double kDigits = 1e6;
  return std::round(share * static_cast<double>(side) * kDigits) / kDigits;
}

std::optional<NamedObject> read_line(std::string_view line, const std::vector<std::string>& classes,
                                     const CocoImage& image) {
  std::vector<double> numbers;
  for (size_t at = 0; at < line.size();) {
    const size_t begin = line.find_first_not_of(" \t", at);
    if (begin == std::string_view::npos) break;
    at = std::min(line.find_first_of(" \t", begin), line.size());
    numbers.push_back(parse_number(line.substr(begin, at - begin)));
  }
  if (numbers.empty()) return std::nullopt;
  TESSERA_CHECK(
      numbers[0] >= 0 && numbers[0] < static_cast<double>(classes.size()) && numbers[0] == std::floor(numbers[0]),
      "there is no class {}; there are {}", numbers[0], classes.size());
  for (size_t i = 1; i < numbers.size(); ++i)
    TESSERA_CHECK(std::abs(numbers[i] - 0.5) <= kFarthest,
                  "{} is no share of the width or height, which lies in 0 to 1; are these pixels?", numbers[i]);
  NamedObject object{classes[static_cast<size_t>(numbers[0])], {}};
  const auto x = [&](size_t i) { return pixels(numbers[i], image.width); };
  const auto y = [&](size_t i) { return pixels(numbers[i], image.height); };
  if (numbers.size() == 5) {
    TESSERA_CHECK(numbers[3] > 0 && numbers[4] > 0, "a box of {} x {} (width x height) is none", numbers[3],
                  numbers[4]);
    object.annotation.bbox = {x(1) - x(3) / 2, y(2) - y(4) / 2, x(3), y(4)};
    return object;
  }
  TESSERA_CHECK(numbers.size() >= 7 && numbers.size() % 2 == 1,
                "a class and at least 3 points are expected, or a class and a box; there are {} numbers",
                numbers.size());
  std::vector<double> polygon;
  for (size_t i = 1; i < numbers.size(); i += 2) polygon.insert(polygon.end(), {x(i), y(i + 1)});
  object.annotation.segmentation = Polygons{std::move(polygon)};
  return object;
}

// images/train/a.jpg -> labels/train/a.txt: the last folder of that name.
fs::path labels_of(const fs::path& picture) {
  std::string path = "/";
  path += picture.generic_string();
  constexpr std::string_view kImages = "/images/", kLabels = "/labels/";
  if (const size_t images = path.rfind(kImages); images != std::string::npos)
    path.replace(images, kImages.size(), kLabels);
  return fs::path(path.substr(1)).replace_extension(".txt");
}

// The pictures of a split: a folder, or a file that lists them.
void add_pictures(const fs::path& place, std::vector<fs::path>& pictures) {
  if (fs::is_directory(place)) {
    std::ranges::copy_if(files_below(place), std::back_inserter(pictures), is_picture);
    return;
  }
  for (const std::string& line : lines_of(place))
    if (!line.empty()) pictures.push_back((place.parent_path() / line).lexically_normal());
}

std::string number(double share) {
  return fmt::format("{:.10g}", share);
}

}  // namespace

AnnotatedPictures read_yolo(const AnnotatedFiles& files, const Counted& counted) {
  TESSERA_CHECK(fs::exists(files.annotations), "{}: there is no such file or folder", files.annotations.string());
  const bool folder = fs::is_directory(files.annotations);
  const fs::path top = folder ? files.annotations : files.annotations.parent_path();
  fs::path file = folder ? top / "data.yaml" : files.annotations;
  std::vector<fs::path> found, labels;
  std::set<fs::path> folders;  // with nothing but pictures and labels of the split in them
  std::vector<std::string> classes;
  fs::path images = top;  // what the pictures' names are relative to
  if (fs::exists(file)) {
    const Yaml yaml = read_yaml(file);
    classes = yaml.names;
    const auto split = yaml.images.find(files.split);
    TESSERA_CHECK(split != yaml.images.end(),
                  "{}: there is no \"{}:\", the images of that split; --split names another", file.string(),
                  files.split);
    for (const std::string& entry : split->second) {
      const fs::path place = (top / yaml.path / entry).lexically_normal();
      add_pictures(place, found);
      if (!fs::is_directory(place)) continue;  // a list: its folders have other lists' pictures, too
      const fs::path picture = place / "any.jpg";
      folders.insert({picture.parent_path(), labels_of(picture).parent_path()});
      if (split->second.size() == 1) images = place;
    }
    std::ranges::sort(found);
    for (const fs::path& picture : found) labels.push_back(labels_of(picture));
  } else {
    file = top / "classes.txt";
    classes = read_classes(file);
    TESSERA_CHECK(!classes.empty(), "{}: there is neither a data.yaml nor a classes.txt with names in it",
                  top.string());
    const PictureFiles pictures(files.images.empty() ? top : files.images);
    std::ranges::copy_if(files_below(top), std::back_inserter(labels), [](const fs::path& path) {
      return lower_extension(path) == ".txt" && path.filename() != "classes.txt";
    });
    for (const fs::path& label : labels) found.push_back(pictures.find(label.stem().string()));
    folders = {top};
  }
  if (!files.images.empty()) images = files.images;
  std::vector<ReadPicture> pictures(found.size());
  counted_for(
      std::ssize(found), counted,
      [&](i64 i) {
        ReadPicture& picture = pictures[i];
        picture.image = image_of(found[i], images);
        if (!fs::exists(labels[i])) {  // of a picture without objects
          picture.left_out["label files that do not exist"].add(labels[i].generic_string());
          return;
        }
        const std::vector<std::string> lines = lines_of(labels[i]);
        for (size_t n = 0; n < lines.size(); ++n) try {
            if (std::optional<NamedObject> object = read_line(lines[n], classes, picture.image))
              picture.objects.push_back(std::move(*object));
          } catch (const Error& error) {
            fail("{}:{}: {}", labels[i].string(), n + 1, error.what());
          }
      },
      1);
  AnnotatedPictures set = assembled(file, images, std::move(pictures), classes);
  labels.push_back(file);
  for (const fs::path& place : folders)
    if (fs::is_directory(place)) count_others(place, labels, set);
  return set;
}

LeftOut write_yolo(const AnnotatedPictures& set, const fs::path& out, const std::string& split,
                   const Counted& counted) {
  const CocoDataset& dataset = set.dataset;
  const std::vector<std::string> stems = stems_of(dataset);
  std::vector<fs::path> labels, images;
  for (size_t i = 0; i < stems.size(); ++i) {
    labels.push_back(out / "labels" / split / (stems[i] + ".txt"));
    images.push_back(out / "images" / split / (stems[i] + extension_of(dataset.images[i])));
  }
  TESSERA_CHECK(!is_reserved(split), "a split cannot be called {}, as another entry of data.yaml is; --split names it",
                split);
  check_class_names(dataset);
  check_strangers(out / "labels" / split, ".txt", labels);
  Yaml yaml;
  const fs::path file = out / "data.yaml";
  if (fs::exists(file)) yaml = read_yaml(file);
  std::vector<std::string> names;
  for (const CocoCategory& category : dataset.categories) names.push_back(category.name);
  TESSERA_CHECK(yaml.path.empty() && (yaml.names.empty() || yaml.names == names),
                "{}: is there already, of a data set with other classes or a path of its own; name another folder",
                file.string());
  const LeftOut left_out = for_each_picture(dataset, counted, [&](i64 i, LeftOut& missing) {
    const CocoImage& image = dataset.images[i];
    const double width = static_cast<double>(image.width), height = static_cast<double>(image.height);
    std::string text;
    for (const MaskedObject& object : masked_objects(dataset, i, false, missing)) {
      std::vector<double> polygon = joined_polygon(outlines_of(object));
      for (size_t p = 0; p < polygon.size(); ++p) polygon[p] = std::clamp(polygon[p], 0.0, p % 2 == 0 ? width : height);
      // Annotated parts that overlap would have holes there, edges that reach out of the picture another slope.
      if (polygon.size() < 6 || rasterise_polygon(polygon, image.height, image.width) != object.mask)
        polygon = joined_polygon(trace_mask(object.mask));
      text += std::to_string(object.class_index);
      for (size_t p = 0; p + 1 < polygon.size(); p += 2)
        text += ' ' + number(polygon[p] / width) + ' ' + number(polygon[p + 1] / height);
      text += '\n';
    }
    link_picture(set.images / image.file_name, images[i]);
    write_text(labels[i], text);
  });
  yaml.images[split] = {"images/" + split};
  YAML::Emitter text;
  text << YAML::BeginMap;
  for (const auto& [name, places] : yaml.images) {
    text << YAML::Key << name << YAML::Value;
    places.size() == 1 ? text << places[0] : text << places;
  }
  text << YAML::Key << "names" << YAML::Value << names << YAML::EndMap;
  write_text(file, std::string(text.c_str()) + "\n");
  return left_out;
}

}  // namespace tessera::formats
