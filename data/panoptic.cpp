#include "data/panoptic.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <string_view>
#include <unordered_set>

#include "data/coco_records.h"
#include "data/image.h"
#include "data/json_writer.h"
#include "tensor/file.h"

namespace tessera {

namespace {

constexpr i64 kIds = 1 << 24;  // an id is three bytes

PanopticSegment read_segment(json::Value value) {
  std::optional<i64> id, category_id;
  PanopticSegment segment;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "id") {
      id = json::read_integer(field);
    } else if (key == "category_id") {
      category_id = json::read_integer(field);
    } else if (key == "iscrowd") {
      segment.iscrowd = json::read_flag(field);
    } else if (key == "area") {
      segment.area = json::find_number(field);
    } else if (key == "bbox") {
      XywhBox box{};
      segment.bbox = json::find_numbers(field, box) == box.size() ? std::optional(box) : std::nullopt;
    }
  });
  segment.id = json::require(id, "id");
  segment.category_id = json::require(category_id, "category_id");
  TESSERA_CHECK(segment.id > 0 && segment.id < kIds,
                "the id {} is not one of a PNG, which has 1 to {} (0 is void: no segment)", segment.id, kIds - 1);
  return segment;
}

PanopticPicture read_picture(json::Value value) {
  std::optional<i64> image_id;
  bool segments = false;
  PanopticPicture picture;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "image_id") {
      image_id = json::read_integer(field);
    } else if (key == "file_name") {
      picture.png = json::read_string(field);
    } else if (key == "segments_info") {
      segments = true;
      std::unordered_set<i64> seen;
      json::for_each_element(field, [&](json::Value entry) {
        picture.segments.push_back(read_segment(entry));
        TESSERA_CHECK(seen.insert(picture.segments.back().id).second, "the id {} occurs twice",
                      picture.segments.back().id);
      });
    }
  });
  TESSERA_CHECK(segments, "there is no \"segments_info\"; is this a COCO panoptic file?");
  picture.image_id = json::require(image_id, "image_id");
  TESSERA_CHECK(!picture.png.empty(), "there is no \"file_name\", the name of the PNG");
  return picture;
}

void append_segments(std::string& out, std::span<const PanopticSegment> segments) {
  for (const PanopticSegment& segment : segments) {
    fmt::format_to(std::back_inserter(out), "{}{{\"id\":{},\"category_id\":{},\"iscrowd\":{}",
                   &segment == segments.data() ? "" : ",", segment.id, segment.category_id, segment.iscrowd ? 1 : 0);
    if (segment.area) {
      out += ",\"area\":";
      json::append_number(out, *segment.area);
    }
    if (segment.bbox) {
      out += ",\"bbox\":";
      json::append_numbers(out, *segment.bbox);
    }
    out.push_back('}');
  }
}

}  // namespace

std::string PanopticFile::place(const PanopticPicture& picture) const {
  return fmt::format("{}: image {} ({})", name, picture.image_id, picture.png);
}

std::filesystem::path panoptic_folder(const std::filesystem::path& json) {
  return json.parent_path() / json.stem();
}

bool is_panoptic(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path) || std::filesystem::file_size(path) == 0) return false;
  constexpr std::string_view kSign = "\"segments_info\"";  // no other file has it, or not as a key
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const char* end = file->data() + file->size();
  return std::search(file->data(), file->data() + file->size(),
                     std::boyer_moore_horspool_searcher(kSign.begin(), kSign.end())) != end;
}

PanopticFile load_panoptic(const std::filesystem::path& path) {
  PanopticFile file{.name = path.string(), .folder = panoptic_folder(path)};
  bool annotations = false;
  json::Document document(path);
  document.for_each_field([&](std::string_view key, json::Value value) {
    if (key == "images") {
      file.images.clear();
      json::for_each_element(value, [&](json::Value entry) { file.images.push_back(read_coco_image(entry)); });
    } else if (key == "categories") {
      file.categories.clear();
      json::for_each_element(value, [&](json::Value entry) { file.categories.push_back(read_coco_category(entry)); });
    } else if (key == "annotations") {
      annotations = true;
      file.pictures.clear();
      json::for_each_element(value, [&](json::Value entry) { file.pictures.push_back(read_picture(entry)); });
    }
  });
  TESSERA_CHECK(annotations, "{}: there is no \"annotations\"; is this a COCO panoptic file?", file.name);
  return file;
}

void save_panoptic(const PanopticFile& file) {
  std::string text = "{\"images\":[";
  const auto append = [&text]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  };
  json::at_place(file.name, [&] {
    const char* separator = "\n";
    for (const CocoImage& image : file.images) {
      append("{}{{\"id\":{},\"height\":{},\"width\":{},\"file_name\":", std::exchange(separator, ",\n"), image.id,
             image.height, image.width);
      json::append_string(text, image.file_name);
      text.push_back('}');
    }
    text += "],\n\"categories\":[";
    separator = "\n";
    for (const CocoCategory& category : file.categories) {
      append("{}{{\"id\":{},\"isthing\":{},\"name\":", std::exchange(separator, ",\n"), category.id,
             category.isthing ? 1 : 0);
      json::append_string(text, category.name);
      text.push_back('}');
    }
    text += "],\n\"annotations\":[";
    separator = "\n";
    for (const PanopticPicture& picture : file.pictures) {
      append("{}{{\"image_id\":{},\"file_name\":", std::exchange(separator, ",\n"), picture.image_id);
      json::append_string(text, picture.png);
      text += ",\"segments_info\":[";
      append_segments(text, picture.segments);
      text += "]}";
    }
    text += "]}\n";
  });
  write_file(file.name, text);
}

std::vector<LabelRegion> load_segments(const std::filesystem::path& png) {
  return regions_of(load_colour_numbers(png));
}

void save_segments(const std::filesystem::path& png, ImageSize size, std::span<const Rle> masks) {
  Tensor colours = Tensor::zeros({size.height, size.width, 3}, DType::kU8);
  TESSERA_CHECK(static_cast<i64>(masks.size()) < kIds, "{}: {} segments are too many", png.string(), masks.size());
  u8* rgb = colours.data<u8>();
  for (size_t i = 0; i < masks.size(); ++i) {
    TESSERA_CHECK(masks[i].height == size.height && masks[i].width == size.width,
                  "{}: segment {} is {} x {} (height x width), its picture {} x {}", png.string(), i + 1,
                  masks[i].height, masks[i].width, size.height, size.width);
    check_rle(masks[i]);
    i64 pixel = 0;  // down the columns
    for (size_t run = 0; run < masks[i].counts.size(); pixel += masks[i].counts[run++]) {
      if (run % 2 == 0) continue;
      for (i64 p = pixel; p < pixel + masks[i].counts[run]; ++p) {
        u8* colour = rgb + ((p % size.height) * size.width + p / size.height) * 3;
        TESSERA_CHECK((colour[0] | colour[1] | colour[2]) == 0, "{}: segments {} and {} share the pixel x {}, y {}",
                      png.string(), colour[0] | colour[1] << 8 | colour[2] << 16, i + 1, p / size.height,
                      p % size.height);
        for (int byte = 0; byte < 3; ++byte) colour[byte] = static_cast<u8>((i + 1) >> 8 * byte);
      }
    }
  }
  save_png(png, colours);
}

Rle segment_mask(const PngSegment& segment) {
  thread_local std::shared_ptr<const std::filesystem::path>
      png;  // of `regions`; held, so that no other has its address
  thread_local std::vector<LabelRegion> regions;
  if (png != segment.png) {
    png.reset();  // regions are nothing until they are read
    regions = load_segments(*segment.png);
    png = segment.png;
  }
  const auto found = std::ranges::find(regions, segment.id, &LabelRegion::value);
  if (found != regions.end()) return found->mask;
  const Rle& any = regions.front().mask;
  return {any.height, any.width, {static_cast<u32>(any.height * any.width)}};
}

}  // namespace tessera
