#include "data/coco_records.h"

namespace tessera {

namespace {

// The last two parts of .../val2017/000000000042.jpg: the folder and the name. Empty when there are no two.
std::string name_from_url(std::string_view url) {
  const size_t name = url.rfind('/');
  if (name == std::string_view::npos || name == 0) return "";
  const size_t folder = url.rfind('/', name - 1);
  return std::string(url.substr(folder == std::string_view::npos ? 0 : folder + 1));
}

}  // namespace

CocoImage read_coco_image(json::Value value) {
  std::optional<i64> id;
  std::string named_by_url;
  CocoImage image;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "id")
      id = json::read_integer(field);
    else if (key == "height")
      image.height = json::find_integer(field).value_or(0);
    else if (key == "width")
      image.width = json::find_integer(field).value_or(0);
    else if (key == "file_name")
      image.file_name = json::find_string(field).value_or("");
    else if (key == "coco_url")
      named_by_url = name_from_url(json::find_string(field).value_or(""));
    else if (key == "neg_category_ids" && !json::is_null(field))
      json::read_integers(field, image.neg_category_ids.emplace());
    else if (key == "not_exhaustive_category_ids" && !json::is_null(field)) {
      image.not_exhaustive_category_ids.clear();
      json::read_integers(field, image.not_exhaustive_category_ids);
    }
  });
  image.id = json::require(id, "id");
  if (image.file_name.empty()) image.file_name = named_by_url;
  constexpr size_t kCocoName = std::string_view("000000000042.jpg").size();
  if (image.neg_category_ids && image.file_name.starts_with("COCO_") && image.file_name.size() > kCocoName)
    image.file_name.erase(0, image.file_name.size() - kCocoName);
  return image;
}

CocoCategory read_coco_category(json::Value value) {
  std::optional<i64> id;
  CocoCategory category;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "id")
      id = json::read_integer(field);
    else if (key == "name")
      category.name = json::find_string(field).value_or("");
    else if (key == "synset")
      category.synset = json::find_string(field).value_or("");
    else if (key == "isthing" && !json::is_null(field))
      category.isthing = json::read_flag(field);
    else if (key == "frequency") {
      const std::string_view letter = json::find_string(field).value_or("");
      if (letter == "r" || letter == "c" || letter == "f") category.frequency = letter[0];
    }
  });
  category.id = json::require(id, "id");
  if (category.name.empty()) category.name = std::to_string(category.id);
  return category;
}

}  // namespace tessera
