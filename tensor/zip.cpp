#include "tensor/zip.h"

#include <algorithm>
#include <cstring>

namespace tessera {

namespace {

constexpr u32 kLocal = 0x04034B50, kCentral = 0x02014B50, kEnd = 0x06054B50, kEnd64 = 0x06064B50,
              kLocator64 = 0x07064B50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20;

class ZipReader {
 public:
  ZipReader(std::string_view file, const std::string& where) : file_(file), where_(where) {}

  std::vector<ZipEntry> run() {
    find_directory();
    std::vector<ZipEntry> entries;
    u64 at = directory_;
    for (u64 i = 0; i < count_; ++i) entries.push_back(entry(at));
    return entries;
  }

 private:
  // `count` bytes at `offset` of the file.
  std::string_view part(u64 offset, u64 count) const {
    TESSERA_CHECK(offset <= file_.size() && count <= file_.size() - offset,
                  "{}: damaged or truncated zip archive: {} bytes at {} of {}", where_, count, offset, file_.size());
    return file_.substr(offset, count);
  }
  template <class T>
  static T number(std::string_view record, size_t offset) {
    T value;
    std::memcpy(&value, record.data() + offset, sizeof(T));
    return value;
  }

  // The last record of the file tells where the directory is; a comment of up to 64 kB may follow it.
  u64 find_end() const {
    for (size_t tail = kEndSize; tail <= std::min(file_.size(), kEndSize + 0xFFFF); ++tail) {
      const size_t at = file_.size() - tail;
      if (number<u32>(file_, at) == kEnd && kEndSize + number<u16>(file_, at + 20) == tail) return at;
    }
    fail("{}: damaged or truncated zip archive: it has no directory", where_);
  }

  void find_directory() {
    const u64 end = find_end();
    const std::string_view record = part(end, kEndSize);
    count_ = number<u16>(record, 10);
    directory_ = number<u32>(record, 16);
    if (count_ != 0xFFFF && directory_ != 0xFFFFFFFF && number<u32>(record, 12) != 0xFFFFFFFF) return;
    if (end < kLocator64Size) return;
    const std::string_view locator = part(end - kLocator64Size, kLocator64Size);
    if (number<u32>(locator, 0) != kLocator64) return;
    const std::string_view record64 = part(number<u64>(locator, 8), kEnd64Size);
    TESSERA_CHECK(number<u32>(record64, 0) == kEnd64, "{}: damaged zip archive: no Zip64 record", where_);
    count_ = number<u64>(record64, 32);
    directory_ = number<u64>(record64, 48);
  }

  // The entry whose directory record is at `at`, which moves on to the next.
  ZipEntry entry(u64& at) const {
    const std::string_view record = part(at, kCentralSize);
    TESSERA_CHECK(number<u32>(record, 0) == kCentral, "{}: damaged zip archive: no directory record at {}", where_, at);
    const u16 flags = number<u16>(record, 8), method = number<u16>(record, 10);
    u64 packed = number<u32>(record, 20), size = number<u32>(record, 24), local = number<u32>(record, 42);
    const u16 name_size = number<u16>(record, 28), extra_size = number<u16>(record, 30);
    const std::string_view name = part(at + kCentralSize, name_size);
    read_extra64(part(at + kCentralSize + name_size, extra_size), size, packed, local);
    at += kCentralSize + name_size + extra_size + number<u16>(record, 32);

    TESSERA_CHECK((flags & 1) == 0, "{}: {} is encrypted", where_, name);
    TESSERA_CHECK(method == 0 && packed == size,
                  "{}: {} is compressed, which torch.save never does; store the archive without compression", where_,
                  name);
    const std::string_view header = part(local, kLocalSize);
    TESSERA_CHECK(number<u32>(header, 0) == kLocal, "{}: damaged zip archive: {} is not at {}", where_, name, local);
    const u64 data = local + kLocalSize + number<u16>(header, 26) + number<u16>(header, 28);
    return {name, part(data, size)};
  }

  // Fields that do not fit 32 bits are all ones, and stand in the extra record 1 in this order.
  void read_extra64(std::string_view extra, u64& size, u64& packed, u64& local) const {
    while (extra.size() >= 4) {
      const u16 kind = number<u16>(extra, 0);
      const size_t length = std::min<size_t>(number<u16>(extra, 2), extra.size() - 4);
      std::string_view body = extra.substr(4, length);
      extra.remove_prefix(4 + length);
      if (kind != 1) continue;
      for (u64* field : {&size, &packed, &local}) {
        if (*field != 0xFFFFFFFF) continue;
        TESSERA_CHECK(body.size() >= 8, "{}: damaged zip archive: a Zip64 record is too short", where_);
        *field = number<u64>(body, 0);
        body.remove_prefix(8);
      }
    }
  }

  std::string_view file_;
  const std::string& where_;
  u64 count_ = 0, directory_ = 0;
};

}  // namespace

std::vector<ZipEntry> read_zip(std::string_view file, const std::string& where) {
  return ZipReader(file, where).run();
}

}  // namespace tessera
