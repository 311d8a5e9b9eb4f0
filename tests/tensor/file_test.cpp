#include "tensor/file.h"

#include <doctest/doctest.h>

#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

TEST_CASE("file: a second name takes the place of what stood there, and outlives the first") {
  const test::TemporaryFolder folder;
  write_file(folder / "a", "new");
  write_file(folder / "b", "old");
  write_file(folder / "b.partial", "left by a kill");
  link_file(folder / "a", folder / "b");
  CHECK(read_file(folder / "b") == "new");
  link_file(folder / "a", folder / "b");  // the same file already
  link_file(folder / "b", folder / "b");
  write_file(folder / "a", "newer");
  CHECK(read_file(folder / "b") == "new");
  std::filesystem::remove(folder / "a");
  CHECK(read_file(folder / "b") == "new");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  CHECK_ERROR(link_file(folder / "absent", folder / "b"), "absent: cannot be opened");
  CHECK(read_file(folder / "b") == "new");
}
