// How the images of one call are named, and found in a data set.
#include "cli/image_names.h"

#include <unistd.h>

#include "cli/image_files.h"
#include "cli/output.h"
#include "data/image.h"
#include "tests/cli/program.h"
#include "tests/support/check_error.h"

namespace tessera {

using namespace test;

namespace {

using Paths = std::vector<fs::path>;

CocoDataset dataset_of(const Arguments& names, ImageSize size = {4, 4}) {
  CocoDataset dataset;
  dataset.name = "gt.json";
  for (const std::string& name : names)
    dataset.images.push_back({10 * static_cast<i64>(dataset.images.size() + 1), name, size.height, size.width});
  index_coco(dataset);
  return dataset;
}

}  // namespace

TEST_CASE("image names: paths begin below the deepest folder that holds all the files") {
  CHECK(below_common_folder({"/data/a/1.png"}) == Paths{"1.png"});
  CHECK(below_common_folder({"/data/a/1.png", "/data/a/2.png"}) == Paths{"1.png", "2.png"});
  CHECK(below_common_folder({"/data/a/1.png", "/data/ab/./1.png", "/data/a/x/../x/1.png"}) ==
        Paths{"a/1.png", "ab/1.png", "a/x/1.png"});
  CHECK(below_common_folder({"/data/1.png", "/1.png"}) == Paths{"data/1.png", "1.png"});
  CHECK(below_common_folder({"x/1.png", "y/1.png"}) == Paths{"x/1.png", "y/1.png"});
}

TEST_CASE("image names: the shortest kind of name that tells all the images apart") {
  CHECK(distinct_names({"1.png", "2.jpg"}) == Arguments{"1", "2"});
  CHECK(distinct_names({"a/1.png", "b/2.png"}) == Arguments{"1", "2"});
  CHECK(distinct_names({"a/1.png", "b/1.png", "2.png"}) == Arguments{"a/1", "b/1", "2"});
  CHECK(distinct_names({"1.png", "1.jpg"}) == Arguments{"1.png", "1.jpg"});
  CHECK(distinct_names({"a/1.png", "a/1.jpg", "b/1.png"}) == Arguments{"a/1.png", "a/1.jpg", "b/1.png"});
  CHECK(distinct_names({"A.png", "a.jpg"}) == Arguments{"A.png", "a.jpg"});
  CHECK(distinct_names({"A.png", "a.png"}) == Arguments{"A.png-1", "a.png-2"});
}

TEST_CASE("image names: a file's image is the one that its path ends like, as far as possible") {
  const auto match = [](const Arguments& names, const Paths& files) { return match_images(dataset_of(names), files); };
  CHECK(match({"1.png", "2.png"}, {"x/2.png", "1.png"}) == std::vector<i64>{1, 0});
  CHECK(match({"a/1.png", "b/1.png"}, {"/data/b/1.png", "/data/a/1.png"}) == std::vector<i64>{1, 0});
  CHECK(match({"old/a/1.png", "old/b/1.png"}, {"/new/b/1.png"}) == std::vector<i64>{1});
  CHECK(match({"a\\1.png", "b\\1.png"}, {"b/1.png"}) == std::vector<i64>{1});
  CHECK(match({"./a/1.png", "/b/1.png"}, {"/b/1.png", "/x/a/1.png"}) == std::vector<i64>{1, 0});
  CHECK(match({"1.png", "a/1.png"}, {"/x/a/1.png"}) == std::vector<i64>{1});

  CHECK_ERROR(match({"a/1.png"}, {"a/2.png", "1.png", "a/1.png.png"}), "a/2.png; a/1.png.png: gt.json has no image");
  CHECK_ERROR(match({"a/1.png"}, {"11.png"}), "11.png: gt.json has no image of this name");
  CHECK_ERROR(match({"a/1.png", "b/1.png"}, {"c/1.png"}), "fits two images of gt.json, a/1.png (id 10) and b/1.png");
  CHECK_ERROR(match({"1.png", "1.png"}, {"1.png"}), "1.png (id 10) and 1.png (id 20)");
  CHECK_ERROR(match({"1.png"}, {"a/1.png", "b/1.png"}), "a/1.png and b/1.png: fit the same image of gt.json, 1.png");
}

TEST_CASE("image names: a file of another size than its image's is found before anything else") {
  const TemporaryFolder folder;
  save_png(folder / "1.png", Tensor::zeros({4, 5, 3}, DType::kU8));
  write_file(folder / "2.png", "no picture: is reported when its turn comes");
  const CocoDataset dataset = dataset_of({"1.png", "2.png", "3.png"});
  CHECK(match_images(dataset, {folder / "2.png", folder / "3.png"}) == std::vector<i64>{1, 2});
  CHECK_ERROR(match_images(dataset, {folder / "2.png", folder / "1.png"}), "has 4 x 5 pixels, but gt.json says 4 x 4");
}

TEST_CASE("image files: folders without what is hidden, each file once, in the order given") {
  const TemporaryFolder folder;
  for (const char* name : {"b.PNG", "a.jpeg", "._a.jpeg", ".DS_Store", "notes.txt"}) write_file(folder / name, "x");
  fs::create_directory(folder / "c.png");
  fs::create_symlink("nowhere", folder / "d.png");
  const std::string all = folder.path().string(), b = (folder / "b.PNG").string();
  CHECK(image_files({all}, 0) == Paths{folder / "a.jpeg", folder / "b.PNG", folder / "d.png"});
  CHECK(image_files({b, all + "/.", all}, 0) == Paths{b, all + "/./a.jpeg", all + "/./d.png"});
  CHECK(image_files({all, (folder / "._a.jpeg").string()}, 0).size() == 4);  // named: taken
  CHECK(image_files({"absent.png", "./absent.png"}, 0) == Paths{"absent.png"});
  CHECK(image_files({all}, 2).size() == 2);
  CHECK_ERROR(image_files({(folder / "c.png").string()}, 0), "c.png: the folder holds no JPEG or PNG file");
}

TEST_CASE("outputs: none is an input or another output, by whatever name") {
  const TemporaryFolder folder;
  const fs::path input = folder / "input", link = folder / "link", hard = folder / "hard", folder_link = folder / "way";
  write_file(input, "x");
  fs::create_symlink("input", link);
  fs::create_hard_link(input, hard);
  fs::create_directory_symlink(".", folder_link);
  check_outputs({folder / "new", "", folder / "newer", ""}, {input, "", folder / "absent"});
  for (const fs::path& output : {input, link, hard, folder / "." / "input", folder_link / "way" / "input"})
    CHECK_ERROR(check_outputs({folder / "new", output}, {"", input}), "is read by this call");
  CHECK_ERROR(check_outputs({input}, {link}), "is read by this call");
  CHECK_ERROR(check_outputs({folder / "new", folder_link / "new"}, {}), "would be written twice");
  CHECK_ERROR(check_outputs({"new/a/../b", "./new/b"}, {}), "would be written twice");
  CHECK_ERROR(check_outputs({folder.path()}, {}), "is a folder");
}

TEST_CASE("outputs: one that cannot be written is told before anything is computed") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "forbidden");
  fs::permissions(folder.path(), fs::perms::all);
  fs::permissions(folder / "forbidden", fs::perms::owner_read | fs::perms::owner_exec);
  const uid_t user = geteuid();
  constexpr uid_t kNobody = 65534;  // root may write anywhere
  if (user == 0) REQUIRE(seteuid(kNobody) == 0);
  CHECK_NOTHROW(check_outputs({folder / "file", folder / "new/and/newer.json", "/dev/null"}, {}));
  for (const char* name : {"forbidden/out.json", "forbidden/new/out.json"})
    CHECK_ERROR(check_outputs({folder / name}, {}), "out.json: cannot be written: ");
  CHECK(seteuid(user) == 0);
}

}  // namespace tessera
