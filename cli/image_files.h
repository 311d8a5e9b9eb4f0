// Images as command lines name them.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

// Does the name end as that of a JPEG or PNG file?
bool is_image_name(const std::filesystem::path& path);

// Files as they are; of folders the JPEG and PNG files, by name, without hidden ones (.DS_Store, ._1.jpg). A file that
// is named twice, itself and by its folder, is taken once. At most `limit` of them, 0: all.
std::vector<std::filesystem::path> image_files(const std::vector<std::string>& arguments, i64 limit);

// The images of a call that could not be read, or whose results could not be written: each is reported on stderr at
// once, the others go on, and in the end the call fails.
class FailedImages {
 public:
  void add(const std::filesystem::path& file, const std::exception& error);
  i64 count() const { return count_; }
  void check(i64 total) const;  // throws when there are any

 private:
  i64 count_ = 0;
};

}  // namespace tessera
