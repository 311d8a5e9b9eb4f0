// Files and folders, as the formats read and write them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/folder.h"
#include "data/formats/formats.h"

namespace tessera::formats {

namespace fs = std::filesystem;

// ---- reading ----

// Pictures in a folder and below, found by their names without extension.
class PictureFiles {
 public:
  explicit PictureFiles(const fs::path& folder);
  fs::path find(const std::string& stem) const;  // throws unless there is exactly one

 private:
  fs::path folder_;
  std::map<std::string, std::vector<fs::path>> files_;
};

bool is_picture(const fs::path& file);                                // by its extension
CocoImage image_of(const fs::path& picture, const fs::path& images);  // its name below `images`, and its size

// Files and folders in a folder, by name. Throws, naming it, when there is no such folder.
std::vector<fs::path> entries_of(const fs::path& folder);
std::vector<std::string> lines_of(const fs::path& file);  // without their ends, "\n" or "\r\n"
// classes.txt: a class is the number of its line, so that only behind the last one lines may be blank. Nothing where
// there is no such file.
std::vector<std::string> read_classes(const fs::path& file);

// Counts as left out the files in a folder and below that were not read: neither in `read` nor pictures of the set.
// Hidden ones are nobody's annotations.
void count_others(const fs::path& folder, const std::vector<fs::path>& read, AnnotatedPictures& set);

// ---- writing ----

// Throws when there is a file with that extension in the folder, or below, which is none of `ours`.
void check_strangers(const fs::path& folder, const std::string& extension, const std::vector<fs::path>& ours);
// Makes the folder. Another picture of that name is an error.
void link_picture(const fs::path& picture, const fs::path& name);
void write_text(const fs::path& path, const std::string& text);  // makes the folder
// A list of classes that other splits in the folder share: another one that is there is an error.
void write_shared(const fs::path& path, const std::string& text);

}  // namespace tessera::formats
