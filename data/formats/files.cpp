#include "data/formats/files.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <set>

#include "data/image.h"
#include "tensor/file.h"

namespace tessera::formats {

// ---- reading ----

PictureFiles::PictureFiles(const fs::path& folder) : folder_(folder) {
  TESSERA_CHECK(fs::is_directory(folder), "{}: there is no such folder of pictures", folder.string());
  for (const fs::path& file : files_below(folder))
    if (is_picture(file)) files_[file.stem().string()].push_back(file);
}

fs::path PictureFiles::find(const std::string& stem) const {
  const auto found = files_.find(stem);
  TESSERA_CHECK(found != files_.end(), "{}: there is no picture {}.jpg, .jpeg or .png in it or below", folder_.string(),
                stem);
  TESSERA_CHECK(found->second.size() == 1, "{}: there are {} pictures called {}: {}, {}", folder_.string(),
                found->second.size(), stem, std::min(found->second[0], found->second[1]).string(),
                std::max(found->second[0], found->second[1]).string());
  return found->second[0];
}

bool is_picture(const fs::path& file) {
  const std::string extension = lower_extension(file);
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

CocoImage image_of(const fs::path& picture, const fs::path& images) {
  const ImageSize size = image_size(picture);
  CocoImage image{
      .file_name = picture.lexically_proximate(images).generic_string(), .height = size.height, .width = size.width};
  TESSERA_CHECK(simdjson::validate_utf8(image.file_name), "{}: the name of the picture is not UTF-8; rename the file",
                picture.string());
  return image;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  TESSERA_CHECK(fs::is_directory(folder), "{}: there is no such folder", folder.string());
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
  std::ranges::sort(entries);
  return entries;
}

std::vector<std::string> lines_of(const fs::path& file) {
  const std::string text = read_file(file);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    begin = end + 1;
  }
  return lines;
}

std::vector<std::string> read_classes(const fs::path& file) {
  std::vector<std::string> classes;
  if (fs::exists(file)) classes = lines_of(file);
  const auto is_blank = [](const std::string& line) { return line.find_first_not_of(" \t") == std::string::npos; };
  while (!classes.empty() && is_blank(classes.back())) classes.pop_back();
  const auto blank = std::ranges::find_if(classes, is_blank);
  TESSERA_CHECK(blank == classes.end(),
                "{}:{}: the line is blank, and it is not clear which numbers the classes behind it have; remove it, or "
                "write a name",
                file.string(), blank - classes.begin() + 1);
  return classes;
}

void count_others(const fs::path& folder, const std::vector<fs::path>& read, AnnotatedPictures& set) {
  const auto same_for_all_names = [](const fs::path& file) { return fs::absolute(file).lexically_normal(); };
  std::set<fs::path> known;
  for (const fs::path& file : read) known.insert(same_for_all_names(file));
  for (const CocoImage& image : set.dataset.images) known.insert(same_for_all_names(set.images / image.file_name));
  for (const fs::path& file : files_below(folder)) {
    const auto is_hidden = [](const fs::path& part) { return part.string().starts_with('.'); };
    if (known.contains(same_for_all_names(file)) || std::ranges::any_of(file.lexically_relative(folder), is_hidden))
      continue;
    const std::string extension = file.extension().string();
    set.left_out[extension.empty() ? "files without extension" : extension + " files"].add(file.generic_string());
  }
}

// ---- writing ----

void check_strangers(const fs::path& folder, const std::string& extension, const std::vector<fs::path>& ours) {
  if (!fs::is_directory(folder)) return;
  std::set<fs::path> known;
  for (const fs::path& path : ours) known.insert(path.lexically_normal());
  for (const fs::path& file : files_below(folder))
    TESSERA_CHECK(lower_extension(file) != extension || known.contains(file.lexically_normal()),
                  "{}: is there already, and would be taken for one of the data set; name another folder",
                  file.string());
}

void link_picture(const fs::path& picture, const fs::path& name) {
  fs::create_directories(name.parent_path());
  std::error_code ignored;
  if (fs::equivalent(picture, name, ignored)) return;
  const auto is_copy = [&] {
    return fs::file_size(picture) == fs::file_size(name) && read_file(picture) == read_file(name);
  };
  TESSERA_CHECK(!fs::exists(name) || is_copy(), "{}: is there already, another picture than {}; name another folder",
                name.string(), picture.string());
  link_file(picture, name);
}

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  write_file(path, text);
}

void write_shared(const fs::path& path, const std::string& text) {
  TESSERA_CHECK(!fs::exists(path) || read_file(path) == text,
                "{}: is there already, of a data set with other classes; name another folder", path.string());
  write_text(path, text);
}

}  // namespace tessera::formats
