// labelme: beside or apart from each picture a JSON file
//
//   {"imagePath": "../a.jpg", "imageHeight": 480, "imageWidth": 640,
//    "shapes": [{"label": "cat", "shape_type": "polygon", "points": [[x, y], ...], "group_id": 3}, ...]}
//
// Polygons, rectangles, circles and masks are read: of a mask "points" are its first and its last pixel, and "mask" is
// a PNG of what lies between, in base64. Shapes with the same label and the same group are one object.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include "data/base64.h"
#include "data/formats/parts.h"
#include "data/json_reader.h"
#include "data/json_writer.h"
#include "data/parallel.h"

namespace tessera::formats {

namespace {

struct Shape {
  std::string label, type = "polygon", mask;
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
    } else if (key == "mask" && !json::is_null(field)) {
      shape.mask = json::read_string(field);
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

void check_two_points(const Shape& shape) {
  TESSERA_CHECK(shape.points.size() == 4, "\"points\": a {} has 2, not {}", shape.type, shape.points.size() / 2);
}

// Of a circle its centre and a point on it are given, of a rectangle two corners. Empty: none can be made.
std::vector<double> outline_of(const Shape& shape) {
  const std::vector<double>& p = shape.points;
  if (shape.type == "polygon") {
    TESSERA_CHECK(p.size() >= 6, "\"points\": a polygon has at least 3, not {}", p.size() / 2);
    return p;
  }
  if (shape.type != "rectangle" && shape.type != "circle") return {};
  check_two_points(shape);
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

// A mask and the pixel of the picture where it begins.
struct DrawnPart {
  i64 x, y;
  Tensor mask;  // u8 [H, W]
};

DrawnPart drawn_part(const Shape& shape) {
  check_two_points(shape);
  i64 corners[4];
  for (int i = 0; i < 4; ++i) {
    TESSERA_CHECK(std::abs(shape.points[i]) < 1 << 20, "\"points\": {} lies in no picture", shape.points[i]);
    corners[i] = static_cast<i64>(shape.points[i]);
  }
  const auto& [left, top, right, bottom] = corners;
  Tensor mask = not_black(decode_image(decode_base64(shape.mask), "\"mask\""));
  TESSERA_CHECK(mask.dim(0) == bottom - top + 1 && mask.dim(1) == right - left + 1,
                "\"mask\" is {} x {} pixels (height x width), from its first to its last point are {} x {}",
                mask.dim(0), mask.dim(1), bottom - top + 1, right - left + 1);
  return {left, top, std::move(mask)};
}

// What one object is made of.
struct Parts {
  Polygons outlines;
  std::vector<DrawnPart> drawn;
};

Rle united(const Parts& parts, const CocoImage& image) {
  check_mask_size(image.height, image.width);
  std::vector<Rle> masks;
  for (const auto& [left, top, mask] : parts.drawn) {
    const i64 height = mask.dim(0), width = mask.dim(1);
    TESSERA_CHECK(left >= 0 && top >= 0 && left + width <= image.width && top + height <= image.height,
                  "\"mask\": {} x {} pixels (height x width) from ({}, {}) on are not within a picture of {} x {}",
                  height, width, left, top, image.height, image.width);
    Tensor whole = Tensor::zeros({image.height, image.width}, DType::kU8);
    for (i64 y = 0; y < height; ++y)
      std::copy_n(mask.data<u8>() + y * width, width, whole.data<u8>() + (top + y) * image.width + left);
    masks.push_back(encode_rle(whole));
  }
  if (!parts.outlines.empty()) {
    CocoAnnotation outlined;
    outlined.segmentation = parts.outlines;
    masks.push_back(annotation_mask(outlined, image.height, image.width));
  }
  return rle_merge(masks);
}

ReadPicture read_file_of(const fs::path& file, const AnnotatedFiles& files) {
  ReadPicture picture;
  std::string path;
  std::vector<Parts> parts;  // of each object
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
        Parts read;
        if (shape.type == "mask")
          read.drawn.push_back(drawn_part(shape));
        else if (std::vector<double> outline = outline_of(shape); !outline.empty())
          read.outlines.push_back(std::move(outline));
        else
          picture.left_out["shapes that are no polygon, rectangle, circle or mask"].add(
              fmt::format("{}: a {}", file.filename().string(), shape.type));
        if (read.outlines.empty() && read.drawn.empty()) return;
        if (shape.group) {
          const auto [place, first] = groups.emplace(std::pair(shape.label, *shape.group), parts.size());
          if (!first) {
            Parts& object = parts[place->second];
            std::ranges::move(read.outlines, std::back_inserter(object.outlines));
            std::ranges::move(read.drawn, std::back_inserter(object.drawn));
            return;
          }
        }
        picture.objects.push_back(NamedObject{shape.label, {}});
        parts.push_back(std::move(read));
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
  for (size_t i = 0; i < parts.size(); ++i) {
    auto& segmentation = picture.objects[i].annotation.segmentation;
    if (parts[i].drawn.empty())
      segmentation = std::move(parts[i].outlines);
    else
      json::at_place(file.string(), [&] { segmentation = united(parts[i], picture.image); });
  }
  return picture;
}

// The "imagePath" of a file; empty without.
std::string picture_named_in(const fs::path& file) {
  std::string path;
  json::Document document(file);
  document.for_each_field([&](std::string_view key, json::Value value) {
    if (key == "imagePath") path = json::read_string(value);
  });
  return path;
}

}  // namespace

AnnotatedPictures read_labelme(const AnnotatedFiles& files, const Counted& counted) {
  std::vector<fs::path> found = entries_of(files.annotations);
  std::erase_if(found, [](const fs::path& file) { return lower_extension(file) != ".json"; });
  TESSERA_CHECK(!found.empty(), "{}: there is no .json file in it", files.annotations.string());
  std::vector<ReadPicture> pictures(found.size());
  counted_for(
      std::ssize(found), counted, [&](i64 i) { pictures[i] = read_file_of(found[i], files); }, 1);
  AnnotatedPictures set =
      assembled(files.annotations, files.images.empty() ? files.annotations : files.images, std::move(pictures));
  for (const CocoImage& image : set.dataset.images)
    if (!fs::exists(set.images / image.file_name)) set.left_out["pictures that do not exist"].add(image.file_name);
  count_others(files.annotations, found, set);
  return set;
}

LeftOut write_labelme(const AnnotatedPictures& set, const fs::path& out, const std::string&, const Counted& counted) {
  const CocoDataset& dataset = set.dataset;
  check_class_names(dataset);
  std::vector<fs::path> paths;
  for (const std::string& stem : stems_of(dataset)) paths.push_back(out / (stem + ".json"));
  check_strangers(out, ".json", paths);
  std::vector<std::string> pictures;
  for (size_t i = 0; i < paths.size(); ++i) {
    const fs::path picture = set.images / dataset.images[i].file_name;
    TESSERA_CHECK(fs::exists(picture), "{}: there is no such picture; --images names the folder of the pictures",
                  picture.string());
    pictures.push_back(fs::proximate(picture, fs::absolute(out)).generic_string());
    const std::string there = fs::exists(paths[i]) ? picture_named_in(paths[i]) : pictures[i];
    TESSERA_CHECK(there == pictures[i], "{}: is there already, of another picture, {}; name another folder",
                  paths[i].string(), there);
  }
  return for_each_picture(dataset, counted, [&](i64 i, LeftOut& left_out) {
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
    json::append_string(text, pictures[i]);
    text +=
        fmt::format(", \"imageData\": null, \"imageHeight\": {}, \"imageWidth\": {}}}\n", image.height, image.width);
    write_text(paths[i], text);
  });
}

}  // namespace tessera::formats
