#include "tensor/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

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

}  // namespace tessera
