#include "train/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "tensor/error.h"

namespace tessera {

AppendFile::AppendFile(std::filesystem::path path, std::function<void()> before_opening)
    : path_(std::move(path)), before_opening_(std::move(before_opening)) {}

AppendFile::~AppendFile() {
  if (file_ >= 0) ::close(file_);
}

void AppendFile::open() {
  if (before_opening_) before_opening_();
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  TESSERA_CHECK(file_ >= 0, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
  size_ = ::lseek(file_, 0, SEEK_END);
}

void AppendFile::flush() {
  if (pending_.empty()) return;
  if (file_ < 0) open();
  size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t put = ::write(file_, pending_.data() + done, pending_.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int reason = errno;
      (void)!::ftruncate(file_, size_);  // half a record is none
      fail("{}: cannot be written: {}", path_.string(), std::strerror(reason));
    }
    done += static_cast<size_t>(put);
  }
  size_ += static_cast<i64>(done);
  pending_.clear();
}

void AppendFile::sync() {
  flush();
  TESSERA_CHECK(file_ < 0 || fsync(file_) == 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
}

}  // namespace tessera
