#include "tensor/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <utility>

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

// The names of the temporary files that exist, where a signal handler can read them: no lock, and memory that never
// goes away. A name that finds no place is not remembered; threads that write at once are fewer than places.
struct TemporaryName {
  enum State { kFree, kTaken, kKnown };
  std::atomic<State> state = kFree;
  char path[PATH_MAX] = {};
};
static_assert(std::atomic<TemporaryName::State>::is_always_lock_free);
constexpr int kPlaces = 32;
constinit TemporaryName temporary_names[kPlaces];

// The place of the name; -1: it found none.
int remember(const char* path) {
  if (std::strlen(path) >= PATH_MAX) return -1;
  for (int place = 0; place < kPlaces; ++place) {
    TemporaryName& name = temporary_names[place];
    TemporaryName::State state = TemporaryName::kFree;
    if (!name.state.compare_exchange_strong(state, TemporaryName::kTaken)) continue;
    std::strcpy(name.path, path);
    name.state = TemporaryName::kKnown;
    return place;
  }
  return -1;
}

void forget(int place) {
  if (place >= 0) temporary_names[place].state = TemporaryName::kFree;
}

// A name of what this program has open already, standard output as a rule.
bool is_stream(const std::string& path) {
  return path == "/dev/stdout" || path == "/dev/stderr" || path.starts_with("/dev/fd/") ||
         path.starts_with("/proc/self/fd/");
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

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code none;
  struct stat old {};
  const bool exists = stat(path_.c_str(), &old) == 0, regular = exists && S_ISREG(old.st_mode);
  if (is_stream(path_.string()) || (exists && !regular && !S_ISDIR(old.st_mode))) {
    std::fflush(nullptr);  // behind what was printed
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (descriptor_ < 0) refuse(errno);
    return;
  }
  if (regular && std::filesystem::is_symlink(path_, none)) path_ = std::filesystem::canonical(path_);
  temporary_ = path_.string() + ".partial";
  place_ = remember(temporary_.c_str());
  ::unlink(temporary_.c_str());  // left by a kill; it may be a second name of another file, so it is not written
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    const int reason = errno;
    forget(place_);
    refuse(reason);
  }
  if (regular) (void)fchmod(descriptor_, old.st_mode & 07777);  // as private as it was
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (temporary_.empty()) return;
  ::unlink(temporary_.c_str());
  forget(place_);
}

void AtomicFile::refuse(int reason) const {
  fail("{}: cannot be written: {}{}", path_.string(), std::strerror(reason),
       temporary_.empty() ? "" : "; the previous file, if any, is unchanged");
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor_, at, std::min(bytes, size_t{1} << 30));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) refuse(errno);
    at += put;
    bytes -= static_cast<size_t>(put);
  }
}

long AtomicFile::seek(long offset, int whence) {
  const off_t place = ::lseek(descriptor_, offset, whence);
  if (place < 0) refuse(errno);
  return place;
}

void AtomicFile::commit() {
  const bool synced = temporary_.empty() || fsync(descriptor_) == 0;  // a pipe cannot
  if (!synced) refuse(errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) refuse(errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse(errno);
  forget(place_);
  temporary_.clear();
  sync_folder(path_);
}

void remove_temporary_files() {
  for (const TemporaryName& name : temporary_names)
    if (name.state == TemporaryName::kKnown) ::unlink(name.path);
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
