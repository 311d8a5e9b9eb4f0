// What a conversion could lose without a word: files that are passed over, and files in the way.
#include "data/rasterise.h"
#include "tests/data/format_sets.h"

namespace tessera {
namespace {

using namespace test;

void put_picture(const fs::path& path) {
  fs::create_directories(path.parent_path());
  write_file(path, encode_png(Tensor::full({20, 30, 3}, 9, DType::kU8)));
}

AnnotatedPictures one_object(const TemporaryFolder& folder) {
  return one_picture(folder, {{.segmentation = rasterise_box({2, 3, 4, 5}, 20, 30)}});
}

// Two pictures of the same name, in two folders.
AnnotatedPictures with_namesake(const TemporaryFolder& folder, const std::string& name) {
  AnnotatedPictures set = one_object(folder);
  for (const char* sub : {"x/", "y/"}) put_picture(folder / (sub + name));
  set.dataset.images = {{7, "x/" + name, 20, 30}, {8, "y/" + name, 20, 30}};
  set.dataset.annotations.push_back(set.dataset.annotations[0]);
  set.dataset.annotations[1].id = 101;
  set.dataset.annotations[1].image_id = 8;
  index_coco(set.dataset);
  return set;
}

TEST_CASE("yolo: pictures without labels, labels without a picture and other files are counted; links are followed") {
  const TemporaryFolder folder;
  put(folder / "data.yaml", "train: images/train\nnames: [cat]\n");
  put_picture(folder / "elsewhere/a.png");
  fs::create_directories(folder / "images/train");
  fs::create_directory_symlink(folder / "elsewhere", folder / "images/train/linked");
  fs::create_directory_symlink(folder / "images/train", folder / "images/train/loop");
  put(folder / "labels/train/linked/a.txt", "0 0.5 0.5 0.2 0.2\n");
  const AnnotatedPictures whole = read("yolo", folder.path());
  CHECK(whole.dataset.annotations.size() == 1);
  CHECK(whole.left_out.empty());
  put_picture(folder / "images/train/b.PNG");
  for (const char* other :
       {"images/train/c.bmp", "images/train/.DS_Store", "labels/train/d.txt", "labels/train/e/f.txt"})
    put(folder / other, "");
  const LeftOut left_out = read("yolo", folder.path()).left_out;
  CHECK(left_out.size() == 3);
  CHECK(left_out.at("label files that do not exist").names() == (folder / "labels/train/b.txt").string());
  CHECK(left_out.at(".bmp files").count == 1);
  CHECK(left_out.at(".txt files").count == 2);
  put(folder / "data.yaml", "train: pics\nnames: [cat]\n");  // not images/.., hence labels are expected beside them
  put_picture(folder / "pics/a.png");
  CHECK(read("yolo", folder.path()).left_out.at("label files that do not exist").names() ==
        (folder / "pics/a.txt").string());
  fs::remove(folder / "data.yaml");
  fs::remove_all(folder / "labels/train/d.txt");
  fs::remove_all(folder / "labels/train/e");
  fs::remove_all(folder / "pics");
  put(folder / "classes.txt", "cat\n");
  CHECK(count(read("yolo", folder.path()).left_out, ".PNG files") == 1);  // b, which has no label file
}

TEST_CASE("masks and label maps: extensions are of any case, and files that are passed over are counted") {
  const TemporaryFolder folder;
  put_picture(folder / "pictures/a.png");
  const std::string mask = encode_png(Tensor::full({20, 30}, 200, DType::kU8));
  for (const char* name : {"masks/a/cat/0.png", "masks/a/cat/1.PNG", "masks/a/cat/2.tif", "masks/a/cat/deeper/3.png",
                           "masks/4.png", "maps/a.PNG", "maps/b.tif", "maps/below/c.png"})
    put(folder / name, mask);
  const AnnotatedPictures masks = read("masks", folder / "masks", folder / "pictures");
  CHECK(masks.dataset.annotations.size() == 2);
  CHECK(masks.left_out.size() == 2);
  CHECK(masks.left_out.at(".tif files").count == 1);
  CHECK(masks.left_out.at(".png files").count == 2);
  const AnnotatedPictures maps = read("label-maps", folder / "maps", folder / "pictures");
  CHECK(maps.dataset.annotations.size() == 1);
  CHECK(maps.left_out.size() == 2);
}

TEST_CASE("labelme: files in folders below and pictures that do not exist are counted") {
  const TemporaryFolder folder;
  const std::string file = R"({"imagePath": "a.png", "imageHeight": 20, "imageWidth": 30, "shapes": []})";
  put(folder / "a.json", file);
  put(folder / "below/b.json", file);
  LeftOut left_out = read("labelme", folder.path()).left_out;
  CHECK(left_out.at("pictures that do not exist").names() == "a.png");
  CHECK(left_out.at(".json files").names() == (folder / "below/b.json").string());
  put_picture(folder / "a.png");
  left_out = read("labelme", folder.path()).left_out;
  CHECK(left_out.size() == 1);
}

TEST_CASE("labelme: without its picture a data set is not written, and --images is named") {
  const TemporaryFolder folder;
  AnnotatedPictures set = one_object(folder);
  set.images.clear();  // as without --images
  CHECK_ERROR(find_format("labelme").write(set, folder / "out", "train", ignored),
              "a.png: there is no such picture; --images names the folder");
  CHECK(!fs::exists(folder / "out/a.json"));
}

TEST_CASE("labelme: pictures are named relative to a folder that does not exist yet, and again when it does") {
  const TemporaryFolder folder;
  const AnnotatedPictures set = one_object(folder);
  const fs::path here = fs::current_path();
  fs::current_path(folder.path());
  for (int call = 0; call < 2; ++call) {
    CHECK_NOTHROW(find_format("labelme").write(set, "out", "train", ignored));
    CHECK(read("labelme", "out").dataset.images[0].file_name == "../a.png");
  }
  fs::current_path(here);
}

TEST_CASE("formats: a second set whose pictures have the same names does not replace the first") {
  const TemporaryFolder first, second, out;
  const AnnotatedPictures set = one_object(first);
  AnnotatedPictures other = one_object(second);
  save_png(second / "a.png", Tensor::full({20, 30, 3}, 8, DType::kU8));
  other.dataset.annotations.clear();
  index_coco(other.dataset);
  for (const char* name : {"labelme", "yolo", "voc"}) {
    CAPTURE(name);
    find_format(name).write(set, out / name, "train", ignored);
    CHECK_ERROR(find_format(name).write(other, out / name, "train", ignored), "is there already");
    CHECK(content(read(name, out / name)) == content(set));
  }
  fs::remove(out / "yolo/images/train/a.png");
  fs::copy_file(first / "a.png", out / "yolo/images/train/a.png");  // as where there are no hard links
  CHECK_NOTHROW(find_format("yolo").write(set, out / "yolo", "train", ignored));
}

TEST_CASE("cityscapes: pictures of the same name in two folders are refused, not written over each other") {
  const TemporaryFolder folder;
  AnnotatedPictures set = with_namesake(folder, "aa_000001_000002_leftImg8bit.png");
  set.dataset.categories[0].name = "car";
  CHECK_ERROR(find_format("cityscapes").write(set, folder / "out", "train", ignored),
              "would both be called aa_000001_000002: rename one");
}

TEST_CASE("yolo: a polygon that reaches out of its picture comes back pixel for pixel") {
  const TemporaryFolder folder;
  const AnnotatedPictures set = one_picture(folder, {{.segmentation = Polygons{{-40, 10, 25, 0, 25, 19}}},
                                                     {.segmentation = Polygons{{3, 3, 50, -20, 22.5, 30}}}});
  find_format("yolo").write(set, folder / "out", "train", ignored);
  CHECK(content(read("yolo", folder / "out")) == content(set));
}

TEST_CASE("yolo: splits of any name stand in data.yaml, and another split leaves them there") {
  const TemporaryFolder folder;
  const AnnotatedPictures set = one_object(folder);
  for (const char* split : {"fold-1", "fold-2"}) find_format("yolo").write(set, folder / "out", split, ignored);
  for (const char* split : {"fold-1", "fold-2"})
    CHECK(content(read("yolo", folder / "out", {}, split)) == content(set));
  CHECK_ERROR(find_format("yolo").write(set, folder / "out", "names", ignored), "a split cannot be called names");
}

TEST_CASE("formats: classes whose names would not come back are refused") {
  const TemporaryFolder folder;
  const auto refused = [&](const char* format, const std::string& name, const char* message) {
    CAPTURE(format);
    AnnotatedPictures set = one_object(folder);
    set.dataset.categories[1].name = name;
    CHECK_ERROR(find_format(format).write(set, folder / "out", "train", ignored), message);
    CHECK(!fs::exists(folder / "out"));
  };
  for (const char* name : {"car:red", "a\nb", " "}) refused("voc", name, "category 8: a class cannot be called");
  for (const char* name : {"#z", "background"}) refused("voc", name, "would be taken for a remark or the ground");
  refused("label-maps", "a\nb", "category 8: a class cannot be called");
  refused("masks", "a\r", "category 8: a class cannot be called");
  refused("labelme", "cat", "two categories are called cat");
}

TEST_CASE("formats: a picture of an impossible size and a name that is not UTF-8 are named") {
  const TemporaryFolder folder;
  AnnotatedPictures set = one_object(folder);
  set.dataset.annotations.clear();
  set.dataset.images[0].height = set.dataset.images[0].width = 10'000'000'000;
  index_coco(set.dataset);
  for (const char* name : {"voc", "label-maps"})
    CHECK_ERROR(find_format(name).write(set, folder / "out", "train", ignored), "one.json: a.png: mask: a size of");
  put(folder / "maps/\xff.png", encode_png(Tensor::full({20, 30}, 1, DType::kU8)));
  put_picture(folder / "pictures/\xff.png");
  CHECK_ERROR(read("label-maps", folder / "maps", folder / "pictures"),
              "\xff.png: the name of the picture is not UTF-8");
}

}  // namespace
}  // namespace tessera
