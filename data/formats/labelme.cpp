// labelme: beside or apart from each picture a JSON file
//
//   {"imagePath": "../a.jpg", "imageHeight": 480, "imageWidth": 640,
//    "shapes": [{"label": "cat", "shape_type": "polygon", "points": [[x, y], ...], "group_id": 3}, ...]}
//
// Polygons, rectangles and circles are read. Shapes with the same label and the same group are one object.
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "data/formats/parts.h"
#include "data/json_reader.h"
#include "data/json_writer.h"
#include "data/parallel.h"

namespace tessera::formats {

namespace {

struct Shape {
  std::string label, type = "polygon";
  std::vector<double> points;
  std::optional<i64> group;
};

Shape read_shape(json::Value value) {
  Shape shape;
  bool labelled = false;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "label") {
      shape.label = json::read_string(field);
      labelled = true;
    } else if (key == "shape_type" && !json::is_null(field)) {
      shape.type = json::read_string(field);
    } else if (key == "group_id") {
      shape.group = json::find_integer(field);
    } else if (key == "points") {
      json::for_each_element(field, [&](json::Value point) {
        double xy[2];
        json::read_exactly(point, xy);
        shape.points.insert(shape.points.end(), {xy[0], xy[1]});
      });
    }
  });
  TESSERA_CHECK(labelled, "there is no \"label\"");
  return shape;
}

// Of a circle its centre and a point on it are given, of a rectangle two corners. Empty: none can be made.
std::vector<double> outline_of(const Shape& shape) {
  const std::vector<double>& p = shape.points;
  if (shape.type == "polygon") {
    TESSERA_CHECK(p.size() >= 6, "\"points\": a polygon has at least 3, not {}", p.size() / 2);
    return p;
  }
  if (shape.type != "rectangle" && shape.type != "circle") return {};
  TESSERA_CHECK(p.size() == 4, "\"points\": a {} has 2, not {}", shape.type, p.size() / 2);
  if (shape.type == "rectangle") return {p[0], p[1], p[2], p[1], p[2], p[3], p[0], p[3]};
  const double radius = std::hypot(p[2] - p[0], p[3] - p[1]);
  std::vector<double> circle;
  constexpr int kCorners = 64;
  for (int i = 0; i < kCorners; ++i) {
    const double angle = 2 * std::numbers::pi * i / kCorners;
    circle.insert(circle.end(), {p[0] + radius * std::cos(angle), p[1] + radius * std::sin(angle)});
  }
  return circle;
}

ReadPicture read_file_of(const fs::path& file, const AnnotatedFiles& files) {
  ReadPicture picture;
  std::string path;
  std::map<std::pair<std::string, i64>, size_t> groups;
  json::Document document(file);
  document.for_each_field([&](std::string_view key, json::Value value) {
    if (key == "imagePath") {
      path = json::read_string(value);
    } else if (key == "imageHeight") {
      picture.image.height = json::find_integer(value).value_or(0);
    } else if (key == "imageWidth") {
      picture.image.width = json::find_integer(value).value_or(0);
    } else if (key == "shapes") {
      json::for_each_element(value, [&](json::Value entry) {
        const Shape shape = read_shape(entry);
        std::vector<double> outline = outline_of(shape);
        if (outline.empty()) {
          picture.left_out["shapes that are no polygon, rectangle or circle"].add(
              fmt::format("{}: a {}", file.filename().string(), shape.type));
          return;
        }
        if (shape.group) {
          const auto [place, first] = groups.emplace(std::pair(shape.label, *shape.group), picture.objects.size());
          if (!first) {
            std::get<Polygons>(picture.objects[place->second].annotation.segmentation).push_back(std::move(outline));
            return;
          }
        }
        NamedObject& object = picture.objects.emplace_back(NamedObject{shape.label, {}});
        object.annotation.segmentation = Polygons{std::move(outline)};
      });
    }
  });
  TESSERA_CHECK(!path.empty(), "{}: there is no \"imagePath\"", file.string());
  std::ranges::replace(path, '\\', '/');  // of Windows
  const fs::path image = files.images.empty() ? file.parent_path() / path : files.images / fs::path(path).filename();
  const fs::path folder = files.images.empty() ? files.annotations : files.images;
  if (picture.image.has_size())
    picture.image.file_name = image.lexically_normal().lexically_proximate(folder.lexically_normal()).generic_string();
  else
    picture.image = image_of(image.lexically_normal(), folder.lexically_normal());
  return picture;
}

}  // namespace

AnnotatedPictures read_labelme(const AnnotatedFiles& files, const PicturesDone& done) {
  std::vector<fs::path> found = entries_of(files.annotations);
  std::erase_if(found, [](const fs::path& file) { return file.extension() != ".json"; });
  TESSERA_CHECK(!found.empty(), "{}: there is no .json file in it", files.annotations.string());
  std::vector<ReadPicture> pictures(found.size());
  counted_for(
      std::ssize(found), done, [&](i64 i) { pictures[i] = read_file_of(found[i], files); }, 1);
  return assembled(files.annotations, files.images.empty() ? files.annotations : files.images, std::move(pictures));
}

LeftOut write_labelme(const AnnotatedPictures& set, const fs::path& out, const std::string&, const PicturesDone& done) {
  const CocoDataset& dataset = set.dataset;
  std::vector<fs::path> paths;
  for (const std::string& stem : stems_of(dataset)) paths.push_back(out / (stem + ".json"));
  check_strangers(out, ".json", paths);
  return for_each_picture(dataset, done, [&](i64 i, LeftOut& left_out) {
    const CocoImage& image = dataset.images[i];
    std::string text = "{\"version\": \"5.0.0\", \"flags\": {},\n\"shapes\": [";
    const char* separator = "\n";
    i64 group = 0;
    for (const MaskedObject& object : masked_objects(dataset, i, false, left_out)) {
      Polygons outlines = outlines_of(object);
      std::erase_if(outlines, [](const std::vector<double>& outline) { return outline.size() < 6; });
      if (outlines.size() > 1) ++group;
      for (const std::vector<double>& outline : outlines) {
        text += separator;
        text += "{\"label\": ";
        json::append_string(text, dataset.categories[object.class_index].name);
        text += ", \"points\": [";
        for (size_t p = 0; p + 1 < outline.size(); p += 2) {
          if (p > 0) text += ", ";
          json::append_numbers(text, std::span(outline).subspan(p, 2));
        }
        text += fmt::format("], \"group_id\": {}, \"shape_type\": \"polygon\", \"flags\": {{}}}}",
                            outlines.size() > 1 ? std::to_string(group) : "null");
        separator = ",\n";
      }
    }
    text += "],\n\"imagePath\": ";
    json::append_string(text, fs::proximate(set.images / image.file_name, out).generic_string());
    text +=
        fmt::format(", \"imageData\": null, \"imageHeight\": {}, \"imageWidth\": {}}}\n", image.height, image.width);
    write_text(paths[i], text);
  });
}

}  // namespace tessera::formats
