#include "cli/passed_over.h"

#include "cli/image_files.h"
#include "data/image.h"
#include "tests/cli/program.h"
#include "tests/support/check_error.h"

namespace tessera {
namespace {

using namespace test;

TEST_CASE("image files: what is left out of a folder is counted by its extension") {
  const TemporaryFolder folder;
  const std::string name = folder.path().string();
  CHECK_ERROR(image_files({name}, 0), "the folder holds no JPEG or PNG file");
  const Tensor picture = Tensor::zeros({2, 2, 3}, DType::kU8);
  save_png(folder / "b.png", picture);
  save_png(folder / "a.PNG", picture);
  CHECK(passed_over(folder.path(), image_files({name}, 0)).empty());
  for (const char* other : {"a.tif", "b.tif", "c.WEBP", ".DS_Store", ".thumbs", "README"})
    write_file(folder / other, "x");
  fs::create_directory(folder / "more.jpg.d");
  CHECK(passed_over(folder.path(), image_files({name}, 0)) ==
        "1 .WEBP, 2 .tif, 1 folder, 2 hidden, 1 without extension");
  fs::remove(folder / "a.PNG");
  CHECK(passed_over(folder.path(), {folder / "a.tif", folder / "b.png", folder / "b.tif", folder / "c.WEBP"}) ==
        "1 folder, 2 hidden, 1 without extension");
  fs::create_directories(folder / "outer" / "cam_a");
  CHECK_ERROR(image_files({(folder / "outer").string()}, 0),
              "no JPEG or PNG file, but 1 folder; folders in it are to be named");
}

TEST_CASE("program: predict says what it passed over in a folder") {
  const TemporaryFolder folder;
  const std::string out = (folder / "out").string(), picture = (folder / "in" / "a.webp").string();
  fs::create_directory(folder / "in");
  save_png(folder / "in" / "a.png", Tensor::zeros({32, 32, 3}, DType::kU8));
  write_file(picture, std::string("RIFF\0\0\0\0WEBP", 12));
  const Outcome outcome = run({"predict", "--checkpoint", "nowhere", "--out", out, (folder / "in").string()});
  CHECK(outcome.err.find("passed over, as JPEG and PNG files alone are read: 1 .webp\n") != std::string::npos);
}

}  // namespace
}  // namespace tessera
