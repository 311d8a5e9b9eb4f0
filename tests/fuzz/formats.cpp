// Annotations of labelme, YOLO and Pascal VOC: each reader gets the bytes as its file.
#include "data/formats/formats.h"

#include "data/image.h"
#include "tensor/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;

// A folder with a picture and all else that the readers want.
const fs::path& folder() {
  static const fs::path made = [] {
    std::string name = fs::temp_directory_path() / "tessera_fuzz_XXXXXX";
    const fs::path path = mkdtemp(name.data());
    for (const char* sub : {"images", "Annotations", "SegmentationObject", "ImageSets/Segmentation"})
      fs::create_directories(path / sub);
    tessera::save_png(path / "images/a.png", tessera::Tensor::zeros({16, 16, 3}, tessera::DType::kU8));
    tessera::save_png(path / "SegmentationObject/a.png", tessera::Tensor::zeros({16, 16}, tessera::DType::kU8));
    tessera::write_file(path / "ImageSets/Segmentation/train.txt", "a\n");
    tessera::write_file(path / "classes.txt", "cat\ndog\n");
    return path;
  }();
  return made;
}

}  // namespace

void tessera::fuzz::read(std::string_view bytes) {
  const auto read_as = [&](const char* format, const char* file) {
    write_file(folder() / file, std::string(bytes));
    try {
      (void)find_format(format).read({folder(), folder() / "images"}, [](i64, i64) {});
    } catch (const Error&) {
    }
    fs::remove(folder() / file);
  };
  read_as("labelme", "a.json");
  read_as("yolo", "a.txt");
  read_as("yolo", "data.yaml");
  read_as("voc", "Annotations/a.xml");
}
