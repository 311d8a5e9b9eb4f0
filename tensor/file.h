// Files: whole reads, memory maps, and writes that are complete or absent.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace tessera {

// A private (copy-on-write) mapping of a whole file.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  MappedFile() = default;
  char* data_ = nullptr;
  size_t size_ = 0;
};

std::string read_file(const std::filesystem::path& path);  // throws Error naming the file and the system's reason

// Writes to a temporary name beside `path`; commit() fsyncs and renames. Without commit() (an error, a full disk) the
// temporary file is removed and whatever stood at `path` stays as it was. Behind a symbolic link the file is replaced,
// not the link. What is no regular file (a pipe, /dev/stdout) is appended to directly: it has no earlier state to keep.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();
  void write(const void* data, size_t bytes);
  // Where the next write goes, as lseek() does: the new place, from the beginning.
  long seek(long offset, int whence);
  void commit();

 private:
  [[noreturn]] void refuse(int reason) const;

  std::filesystem::path path_, temporary_;  // temporary_ is empty: `path` is written directly
  int descriptor_ = -1;
  int place_ = -1;  // of the temporary name among those that a signal handler removes
};

// Removes the temporary files of all AtomicFiles: for a signal handler that ends the program, hence async-signal-safe.
void remove_temporary_files();

void write_file(const std::filesystem::path& path, const std::string& text);  // atomically

// Gives the file a second name, atomically: whatever stood at `name` stays until the file is there. Where the file
// system has no hard links the file is copied.
void link_file(const std::filesystem::path& file, const std::filesystem::path& name);

}  // namespace tessera
