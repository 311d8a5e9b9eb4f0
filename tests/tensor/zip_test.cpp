#include "tensor/zip.h"

#include <doctest/doctest.h>

#include "tests/support/check_error.h"

using namespace tessera;

namespace {

std::string bytes(u64 value, int count) {
  std::string text;
  for (int i = 0; i < count; ++i, value >>= 8) text.push_back(static_cast<char>(value));
  return text;
}

struct Options {
  int method = 0, flags = 0;
  bool zip64 = false;
  u64 claimed = 0;  // size in place of the true one
  std::string comment = {};
};

// An archive of one entry.
std::string archive(const std::string& name, const std::string& data, const Options& options = {}) {
  const u64 size = options.claimed ? options.claimed : data.size();
  const std::string local = "PK\3\4" + bytes(20, 2) + bytes(static_cast<u64>(options.flags), 2) +
                            bytes(static_cast<u64>(options.method), 2) + bytes(0, 8) + bytes(data.size(), 4) +
                            bytes(data.size(), 4) + bytes(name.size(), 2) + bytes(3, 2) + name + "xyz" + data;
  const bool big = options.zip64;
  const std::string extra =
      big ? bytes(1, 2) + bytes(24, 2) + bytes(size, 8) + bytes(data.size(), 8) + bytes(0, 8) : "";
  const u64 ones = 0xFFFFFFFF;
  const std::string directory =
      "PK\1\2" + bytes(20, 4) + bytes(static_cast<u64>(options.flags), 2) + bytes(static_cast<u64>(options.method), 2) +
      bytes(0, 8) + bytes(big ? ones : data.size(), 4) + bytes(big ? ones : size, 4) + bytes(name.size(), 2) +
      bytes(extra.size(), 2) + bytes(0, 10) + bytes(big ? ones : 0, 4) + name + extra;
  std::string file = local + directory;
  if (big) {
    const u64 record = file.size();
    file += "PK\6\6" + bytes(44, 8) + bytes(45, 4) + bytes(0, 8) + bytes(1, 8) + bytes(1, 8) +
            bytes(directory.size(), 8) + bytes(local.size(), 8);
    file += "PK\6\7" + bytes(0, 4) + bytes(record, 8) + bytes(1, 4);
  }
  return file + "PK\5\6" + bytes(0, 4) + bytes(big ? 0xFFFF : 1, 2) + bytes(big ? 0xFFFF : 1, 2) +
         bytes(big ? ones : directory.size(), 4) + bytes(big ? ones : local.size(), 4) +
         bytes(options.comment.size(), 2) + options.comment;
}

}  // namespace

TEST_CASE("zip: entries are views of the archive, in the plain and in the Zip64 form, with and without a comment") {
  for (const bool zip64 : {false, true})
    for (const char* comment : {"", "PK\5\6 a comment that looks like the end"}) {
      const std::string file = archive("a/b.txt", "hello", {.zip64 = zip64, .comment = comment});
      const std::vector<ZipEntry> entries = read_zip(file, "x.zip");
      REQUIRE(entries.size() == 1);
      CHECK(entries[0].name == "a/b.txt");
      CHECK(entries[0].bytes == "hello");
      CHECK(entries[0].bytes.data() >= file.data());
      CHECK(entries[0].bytes.data() < file.data() + file.size());
    }
}

TEST_CASE("zip: compressed, encrypted, damaged and truncated archives are refused by name") {
  CHECK_ERROR(read_zip(archive("a", "x", {.method = 8, .claimed = u64{1} << 31}), "x.zip"), "x.zip: a is compressed");
  CHECK_ERROR(read_zip(archive("a", "x", {.flags = 1}), "x.zip"), "encrypted");
  CHECK_ERROR(read_zip(archive("a", "x", {.zip64 = true, .claimed = u64{1} << 62}), "x.zip"), "compressed");
  CHECK_ERROR(read_zip("", "x.zip"), "no directory");
  const std::string whole = archive("a", "hello", {.zip64 = true});
  for (size_t size = 0; size < whole.size(); ++size) CHECK_ERROR(read_zip(whole.substr(0, size), "x.zip"), "x.zip:");
}
