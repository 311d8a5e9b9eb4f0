#include "tensor/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tensor/error.h"

namespace tessera {

namespace {

// Opens a regular file for reading and tells its size.
int open_regular(const std::filesystem::path& path, size_t& size) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  TESSERA_CHECK(descriptor >= 0, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail("{}: is not a regular file", path.string());
  }
  size = static_cast<size_t>(status.st_size);
  return descriptor;
}

// A new name in the folder of `path` must survive a power cut: syncs the folder. A file system that cannot is no error.
void sync_folder(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  (void)fsync(directory);
  ::close(directory);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  std::shared_ptr<MappedFile> file(new MappedFile);
  const int descriptor = open_regular(path, file->size_);
  if (file->size_ > 0) {
    void* data = mmap(nullptr, file->size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    const int reason = errno;
    ::close(descriptor);
    TESSERA_CHECK(data != MAP_FAILED, "{}: cannot be mapped: {}", path.string(), std::strerror(reason));
    file->data_ = static_cast<char*>(data);
  } else {
    ::close(descriptor);
  }
  return file;
}

MappedFile::~MappedFile() {
  if (data_) munmap(data_, size_);
}

std::string read_file(const std::filesystem::path& path) {
  size_t size = 0;
  const int descriptor = open_regular(path, size);
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(descriptor, text.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const std::string reason = got < 0 ? std::strerror(errno) : "it became shorter while being read";
      ::close(descriptor);
      fail("{}: cannot be read: {}", path.string(), reason);
    }
    done += static_cast<size_t>(got);
  }
  ::close(descriptor);
  return text;
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_.string() + ".partial") {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  TESSERA_CHECK(descriptor_ >= 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor_, at, std::min(bytes, size_t{1} << 30));
    if (put < 0 && errno == EINTR) continue;
    TESSERA_CHECK(put >= 0, "{}: cannot be written: {}; the previous file, if any, is unchanged", path_.string(),
                  std::strerror(errno));
    at += put;
    bytes -= static_cast<size_t>(put);
  }
}

void AtomicFile::commit() {
  TESSERA_CHECK(fsync(descriptor_) == 0, "{}: cannot be written: {}; the previous file, if any, is unchanged",
                path_.string(), std::strerror(errno));
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary_.c_str());
    fail("{}: cannot be written: {}; the previous file, if any, is unchanged", path_.string(), std::strerror(reason));
  }
  sync_folder(path_);
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

void link_file(const std::filesystem::path& file, const std::filesystem::path& name) {
  std::error_code missing;
  if (std::filesystem::equivalent(file, name, missing)) return;  // rename() would leave both names of one file
  const std::filesystem::path temporary = name.string() + ".partial";
  ::unlink(temporary.c_str());
  if (::link(file.c_str(), temporary.c_str()) == 0 && ::rename(temporary.c_str(), name.c_str()) == 0)
    return sync_folder(name);
  const auto content = MappedFile::open(file);
  AtomicFile copy(name);
  copy.write(content->data(), content->size());
  copy.commit();
}

}  // namespace tessera
