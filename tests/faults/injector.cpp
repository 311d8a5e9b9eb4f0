// A library that the test of faults preloads into the program. It watches the calls that touch files below a folder,
// and lets one of them go wrong:
//
//   FAULTS_BELOW   the folder, an absolute path without links
//   FAULTS_RECORD  file to which each call is written, one a line: "<operation> <path>"
//   FAULTS_CALL    such a line, and
//   FAULTS_AT      the how manieth call of this kind goes wrong, from 1
//   FAULTS_AS      enospc: the disk is full from here on, also for later calls; eio: this call alone fails;
//                  enoent: the file has vanished; kill: the process dies here, with half of a write done; int: SIGINT
//
// What the C library does inside (a FILE that is flushed) does not pass through `write`, hence fflush stands here too.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

template <class Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

struct Plan {
  std::string below = setting("FAULTS_BELOW") + "/", call = setting("FAULTS_CALL"), kind = setting("FAULTS_AS");
  long at = std::atol(setting("FAULTS_AT").c_str());
  std::atomic<long> seen = 0;
  std::atomic<bool> full = false;
  int record = -1;

  Plan() {
    alarm(60);  // a program that hangs is a finding too
    const std::string file = setting("FAULTS_RECORD");
    if (!file.empty()) record = original<int(const char*, int, ...)>("open")(file.c_str(), O_WRONLY | O_CREAT, 0644);
  }
};

Plan& plan() {
  static Plan instance;
  return instance;
}

// The path below the folder, empty: it lies elsewhere.
std::string below(const std::string& path) {
  return path.starts_with(plan().below) ? path.substr(plan().below.size()) : "";
}

std::string path_of(const char* path) {
  if (path[0] == '/') return below(path);
  char folder[4096];
  return getcwd(folder, sizeof folder) ? below(std::string(folder) + "/" + path) : "";
}

std::string path_of(int descriptor) {
  char path[4096];
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof path);
  return length < 0 ? "" : below(std::string(path, static_cast<size_t>(length)));
}

void die() {
  kill(getpid(), SIGKILL);
  pause();
}

// The errno with which a call has to fail, 0: it goes its way. `half` does what part of it is done when the disk is
// full or the process dies.
template <class Half>
int fault(const char* operation, bool needs_space, const std::string& path, Half&& half) {
  if (path.empty()) return 0;
  Plan& p = plan();
  const std::string call = std::string(operation) + " " + path;
  if (p.record >= 0) dprintf(p.record, "%s\n", call.c_str());
  if (p.full && needs_space) return ENOSPC;
  if (call != p.call || ++p.seen != p.at) return 0;
  if (p.kind == "enospc") {
    half();
    p.full = true;
    return ENOSPC;
  }
  if (p.kind == "eio") return EIO;
  if (p.kind == "enoent") return ENOENT;
  if (p.kind == "kill") {
    half();
    die();
  }
  raise(SIGINT);
  return 0;
}

int fault(const char* operation, bool needs_space, const std::string& path) {
  return fault(operation, needs_space, path, [] {});
}

bool fails(int reason) {
  if (reason != 0) errno = reason;
  return reason != 0;
}

bool writable(int descriptor) {
  return (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

int opened(const char* name, const char* path, int flags, mode_t mode) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (!(flags & O_DIRECTORY) && fails(fault(writes ? "create" : "open", writes, path_of(path)))) return -1;
  return original<int(const char*, int, ...)>(name)(path, flags, mode);
}

FILE* opened(const char* name, const char* path, const char* mode) {
  const bool writes = mode[0] != 'r';
  if (fails(fault(writes ? "create" : "open", writes, path_of(path)))) return nullptr;
  return original<FILE*(const char*, const char*)>(name)(path, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened("open64", path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  return opened("fopen", path, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  return opened("fopen64", path, mode);
}

ssize_t write(int descriptor, const void* data, size_t bytes) {
  static auto* const next = original<ssize_t(int, const void*, size_t)>("write");
  const auto half = [&] { (void)!next(descriptor, data, bytes / 2); };
  if (fails(fault("write", true, path_of(descriptor), half))) return -1;
  return next(descriptor, data, bytes);
}

int fflush(FILE* file) {
  static auto* const next = original<int(FILE*)>("fflush");
  if (file && __fpending(file) > 0) {
    const auto half = [&] { (void)!::write(fileno(file), file->_IO_write_base, __fpending(file) / 2); };
    if (fails(fault("write", true, path_of(fileno(file)), half))) {
      __fpurge(file);  // as the C library does
      return EOF;
    }
  }
  return next(file);
}

ssize_t read(int descriptor, void* data, size_t bytes) {
  static auto* const next = original<ssize_t(int, void*, size_t)>("read");
  return fails(fault("read", false, path_of(descriptor))) ? -1 : next(descriptor, data, bytes);
}

int fsync(int descriptor) {
  static auto* const next = original<int(int)>("fsync");
  return fails(fault("sync", true, path_of(descriptor))) ? -1 : next(descriptor);
}

int close(int descriptor) {
  static auto* const next = original<int(int)>("close");
  const int reason = writable(descriptor) ? fault("close", true, path_of(descriptor)) : 0;
  const int result = next(descriptor);  // the number is free again even where closing fails
  return fails(reason) ? -1 : result;
}

int ftruncate(int descriptor, off_t length) noexcept {
  static auto* const next = original<int(int, off_t)>("ftruncate");
  return fails(fault("truncate", false, path_of(descriptor))) ? -1 : next(descriptor, length);
}

int link(const char* from, const char* to) noexcept {
  static auto* const next = original<int(const char*, const char*)>("link");
  return fails(fault("link", true, path_of(to))) ? -1 : next(from, to);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const next = original<int(const char*, const char*)>("rename");
  return fails(fault("rename", false, path_of(to))) ? -1 : next(from, to);
}

int unlink(const char* path) noexcept {
  static auto* const next = original<int(const char*)>("unlink");
  return fails(fault("unlink", false, path_of(path))) ? -1 : next(path);
}

int remove(const char* path) noexcept {
  static auto* const next = original<int(const char*)>("remove");
  return fails(fault("unlink", false, path_of(path))) ? -1 : next(path);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const next = original<int(const char*, mode_t)>("mkdir");
  return fails(fault("mkdir", true, path_of(path))) ? -1 : next(path, mode);
}

}  // extern "C"
