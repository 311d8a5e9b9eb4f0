#include "tensor/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {

using test::TemporaryFolder;
namespace fs = std::filesystem;

TEST_CASE("file: what is not committed leaves the old file and no temporary one") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.json";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new", 3);
    CHECK(fs::exists(folder / "a.json.partial"));
  }
  CHECK(read_file(path) == "old");
  CHECK(!fs::exists(folder / "a.json.partial"));
}

TEST_CASE("file: a handler that ends the program can remove the temporary files, and only those") {
  const TemporaryFolder folder;
  write_file(folder / "done", "whole");
  AtomicFile one(folder / "one"), two(folder / "two");
  one.write("1", 1);
  remove_temporary_files();
  CHECK(!fs::exists(folder / "one.partial"));
  CHECK(!fs::exists(folder / "two.partial"));
  CHECK(read_file(folder / "done") == "whole");
  CHECK_ERROR(one.commit(), "one: cannot be written: No such file");
}

TEST_CASE("file: a handler knows the temporary files of many threads, and none of a file that is finished") {
  const TemporaryFolder folder;
  const auto path = [&](int i) { return folder / std::to_string(i); };
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<AtomicFile>> files;
    for (int i = 0; i < 20; ++i) files.push_back(std::make_unique<AtomicFile>(path(i)));
    for (int i = 0; i < 20; i += 2) files[static_cast<size_t>(i)]->commit();
    for (int i = 0; i < 20; i += 2) std::ofstream(path(i).string() + ".partial") << "another program's";
    remove_temporary_files();
    for (int i = 0; i < 20; ++i) CHECK(fs::exists(path(i).string() + ".partial") == (i % 2 == 0));
    for (int i = 0; i < 20; i += 2) fs::remove(path(i).string() + ".partial");
  }
}

TEST_CASE("file: what a killed program left at the temporary name is replaced, not written into") {
  const TemporaryFolder folder;
  write_file(folder / "checkpoint", "whole");
  fs::create_hard_link(folder / "checkpoint", folder / "best.partial");
  write_file(folder / "best", "new");
  CHECK(read_file(folder / "checkpoint") == "whole");
  CHECK(read_file(folder / "best") == "new");
}

TEST_CASE("file: a link stays, the file behind it is replaced and as private as it was") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "behind");
  const fs::path target = folder / "behind" / "real", link = folder / "link";
  write_file(target, "old");
  fs::permissions(target, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink(target, link);
  write_file(link, "new");
  CHECK(fs::is_symlink(link));
  CHECK(read_file(target) == "new");
  CHECK(fs::status(target).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("file: a device is written, never replaced, and a full one is an error that names it") {
  const TemporaryFolder folder;
  const fs::path full = folder / "full", null = folder / "null";
  fs::create_symlink("/dev/full", full);
  fs::create_symlink("/dev/null", null);
  CHECK_ERROR(write_file(full, "text"), "full: cannot be written: No space left on device");
  write_file(null, "text");
  for (const fs::path& device : {full, null}) CHECK(fs::is_character_file(device));
}

TEST_CASE("file: a second name takes the place of what stood there, and outlives the first") {
  const TemporaryFolder folder;
  write_file(folder / "a", "new");
  write_file(folder / "b", "old");
  write_file(folder / "b.partial", "left by a kill");
  link_file(folder / "a", folder / "b");
  CHECK(read_file(folder / "b") == "new");
  link_file(folder / "a", folder / "b");  // the same file already
  link_file(folder / "b", folder / "b");
  write_file(folder / "a", "newer");
  CHECK(read_file(folder / "b") == "new");
  fs::remove(folder / "a");
  CHECK(read_file(folder / "b") == "new");
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
  CHECK_ERROR(link_file(folder / "absent", folder / "b"), "absent: cannot be opened");
  CHECK(read_file(folder / "b") == "new");
}

}  // namespace tessera
