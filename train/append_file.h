// A file that grows by whole records, such as lines. Of one that finds no room (a full disk) nothing stays in the file:
// that is an error, and the record is written with the next one, or by sync().
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "tensor/dtype.h"

namespace tessera {

class AppendFile {
 public:
  // The file is opened, or made, with the first record; `before_opening` is called just before.
  explicit AppendFile(std::filesystem::path path, std::function<void()> before_opening = {});
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  void add(const std::string& record) { pending_ += record; }
  void flush();
  void sync();  // what was added is on the disk when this returns

 private:
  void open();

  std::filesystem::path path_;
  std::function<void()> before_opening_;
  int file_ = -1;
  i64 size_ = 0;         // of the file, in whole records
  std::string pending_;  // records that are not in the file yet
};

}  // namespace tessera
