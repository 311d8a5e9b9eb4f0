#include "data/base64.h"
#include "data/rasterise.h"
#include "tests/data/format_sets.h"

namespace tessera {
namespace {

using namespace test;

TEST_CASE("formats: a data set comes back from every format with each mask, holes and parts among them") {
  const AnnotatedPictures set = read("coco", shapes() / "instances_train.json", shapes() / "train");
  const std::vector<std::string> expected = content(set);
  REQUIRE(expected.size() > 5);
  for (const char* name : {"coco", "labelme", "yolo", "voc", "masks", "label-maps"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const fs::path out = folder / "made";
    CHECK(find_format(name).write(set, out, "train", ignored).empty());
    CHECK(find_format(name).write(set, out, "train", ignored).empty());  // a call may be repeated
    const bool needs_images =
        name == std::string("coco") || name == std::string("masks") || name == std::string("label-maps");
    const AnnotatedPictures back = read(name, name == std::string("coco") ? out / "instances_train.json" : out,
                                        needs_images ? set.images : fs::path());
    CHECK(content(back) == expected);
    REQUIRE(back.dataset.images.size() == 5);
    for (const CocoImage& image : back.dataset.images)
      CHECK(read_file(back.images / image.file_name) == read_file(set.images / fs::path(image.file_name).filename()));
    for (const CocoAnnotation& annotation : back.dataset.annotations) {
      CHECK(annotation.area.has_value());
      CHECK(annotation.bbox.has_value());
    }
  }
}

TEST_CASE("formats: Cityscapes comes back with its groups, and as any other set") {
  const TemporaryFolder folder;
  generate_shapes({.dir = folder / "city", .train = 6, .val = 2, .size = 64, .cityscapes = true});
  const AnnotatedPictures set = read("cityscapes", folder / "city");
  CHECK(set.images == folder / "city" / "leftImg8bit" / "train");
  find_format("cityscapes").write(set, folder / "again", "train", ignored);
  const AnnotatedPictures again = read("cityscapes", folder / "again");
  CHECK(content(again) == content(set));
  const auto crowds = [](const AnnotatedPictures& of) {
    return std::ranges::count(of.dataset.annotations, true, &CocoAnnotation::iscrowd);
  };
  CHECK(crowds(again) == crowds(set));
  REQUIRE(crowds(set) > 0);
  const LeftOut left_out = find_format("yolo").write(set, folder / "yolo", "train", ignored);
  CHECK(count(left_out, "crowd regions") == crowds(set));
  const AnnotatedPictures yolo = read("yolo", folder / "yolo" / "data.yaml");
  CHECK(std::ssize(yolo.dataset.annotations) + crowds(set) == std::ssize(set.dataset.annotations));
  CHECK(yolo.dataset.categories.size() == 8);  // those without objects, too
  const AnnotatedPictures shaped = read("coco", shapes() / "instances_train.json", shapes() / "train");
  CHECK_ERROR(find_format("cityscapes").write(shaped, folder / "no", "train", ignored), "no class is called as one of");
}

TEST_CASE("formats: what a format cannot hold is counted by kind, with names") {
  const TemporaryFolder folder;
  const Rle large = rasterise_box({2, 2, 12, 12}, 20, 30), inner = rasterise_box({4, 4, 4, 4}, 20, 30);
  const AnnotatedPictures set = one_picture(folder, {{.segmentation = large},
                                                     {.category_id = 8, .segmentation = inner},
                                                     {.iscrowd = true, .segmentation = inner},
                                                     {.bbox = XywhBox{1, 1, 5, 5}, .segmentation = {}},
                                                     {.segmentation = Rle{20, 30, {600}}},
                                                     {.segmentation = BadMask{"odd"}},
                                                     {.segmentation = inner}});
  const LeftOut voc = find_format("voc").write(set, folder / "voc", "train", ignored);
  CHECK(count(voc, "crowd regions") == 1);
  CHECK(voc.at("objects without a mask").names() == "annotation 103");
  CHECK(count(voc, "objects whose mask has no pixel") == 1);
  CHECK(count(voc, "objects with a malformed mask") == 1);
  CHECK(voc.at("objects that others hide").names() == "annotation 101");  // 106 is as small, and later
  CHECK(voc.at("parts of objects that smaller ones cover").names() == "annotation 100");
  const AnnotatedPictures back = read("voc", folder / "voc");
  REQUIRE(back.dataset.annotations.size() == 2);
  CHECK(back.dataset.annotations[0].area == 144 - 16);
  CHECK(std::get<Rle>(back.dataset.annotations[1].segmentation) == inner);
  CHECK(count(find_format("masks").write(set, folder / "masks", "train", ignored), "objects that others hide") == 0);
}

TEST_CASE("formats: annotated polygons stay as they are, of several parts and overlapping ones too") {
  const TemporaryFolder folder;
  const Polygons apart = {{1.25, 1.5, 9.1, 2.3, 4.7, 8.9}, {12.5, 3, 25.7, 4, 20, 15.5}};
  const Polygons overlapping = {{1, 1, 10, 1, 10, 10, 1, 10}, {5, 5, 15, 5, 15, 15, 5, 15}};
  const AnnotatedPictures set = one_picture(
      folder, {{.segmentation = apart}, {.segmentation = overlapping}, {.segmentation = Polygons{apart[0]}}});
  for (const char* name : {"labelme", "yolo"}) {
    CAPTURE(name);
    CHECK(find_format(name).write(set, folder / name, "train", ignored).empty());
    const AnnotatedPictures back = read(name, folder / name);
    CHECK(content(back) == content(set));
    const auto& one = back.dataset.annotations[2].segmentation;
    CHECK(std::get<Polygons>(one) == Polygons{apart[0]});
  }
}

TEST_CASE("formats: two splits stand in one folder, and their classes are the same") {
  const TemporaryFolder folder;
  for (const char* name : {"yolo", "voc"}) {
    CAPTURE(name);
    const fs::path out = folder / name;
    const AnnotatedPictures train = read("coco", shapes() / "instances_train.json", shapes() / "train");
    AnnotatedPictures val = read("coco", shapes() / "instances_val.json", shapes() / "val");
    find_format(name).write(train, out, "train", ignored);
    // Both sets have a 000001.png, and VOC one folder for the pictures of all splits.
    if (name == std::string("voc"))
      CHECK_ERROR(find_format(name).write(val, out, "val", ignored), "train.txt: has a picture 000001, too");
    fs::create_directories(folder / "renamed");
    for (CocoImage& image : val.dataset.images) {
      fs::copy(val.images / image.file_name, folder / ("renamed/v" + image.file_name),
               fs::copy_options::overwrite_existing);
      image.file_name = "v" + image.file_name;
    }
    val.images = folder / "renamed";
    find_format(name).write(val, out, "val", ignored);
    CHECK(content(read(name, out, {}, "train")) == content(train));
    CHECK(content(read(name, out, {}, "val")) == content(val));
    CHECK_ERROR(read(name, out, {}, "test"), "--split names another");
    CHECK_ERROR(find_format(name).write(one_picture(folder, {}), out, "train", ignored), "is there already");
  }
}

TEST_CASE("formats: files of another data set in the way are named, not mixed with the new ones") {
  const TemporaryFolder folder;
  const AnnotatedPictures set = one_picture(folder, {{.segmentation = rasterise_box({2, 2, 3, 3}, 20, 30)}});
  put(folder / "labelme/b.json", "{}");
  CHECK_ERROR(find_format("labelme").write(set, folder / "labelme", "train", ignored),
              "b.json: is there already, and would");
  put(folder / "masks/b/cat/000.png", "");
  CHECK_ERROR(find_format("masks").write(set, folder / "masks", "train", ignored), "000.png: is there already");
  AnnotatedPictures twice = set;
  twice.dataset.images.push_back({8, "a.jpg", 20, 30});
  index_coco(twice.dataset);
  CHECK_ERROR(find_format("yolo").write(twice, folder / "yolo", "train", ignored),
              "pictures a.png and a.jpg would both be called a");
}

TEST_CASE("labelme: rectangles, circles and groups are read, other shapes are counted") {
  const TemporaryFolder folder;
  save_png(folder / "a.png", Tensor::full({20, 30, 3}, 9, DType::kU8));
  const std::string shapes = R"([
    {"label": "cat", "points": [[2, 2], [6, 2], [6, 5], [2, 5]], "group_id": 1},
    {"label": "cat", "points": [[10, 10], [12, 12]], "group_id": 1, "shape_type": "rectangle"},
    {"label": "dog", "points": [[20, 10], [20, 15]], "group_id": null, "shape_type": "circle"},
    {"label": "dog", "points": [[1, 1]], "shape_type": "point"}])";
  put(folder / "set/a.json", R"({"imageData": null, "imagePath": "..\\a.png", "shapes": )" + shapes + "}");
  const AnnotatedPictures set = read("labelme", folder / "set");
  CHECK(set.dataset.images[0].file_name == "../a.png");
  CHECK(set.dataset.images[0].height == 20);
  REQUIRE(set.dataset.annotations.size() == 2);
  CHECK(set.dataset.annotations[0].area == 12 + 4);
  CHECK(*set.dataset.annotations[1].area == doctest::Approx(3.14 * 25).epsilon(0.05));
  CHECK(set.left_out.at("shapes that are no polygon, rectangle, circle or mask").names() == "a.json: a point");
  put(folder / "set/a.json", R"({"imagePath": "a.png", "shapes": [{"label": "cat", "points": [[1, 2], [3, 4]]}]})");
  CHECK_ERROR(read("labelme", folder / "set"), "a.json: shapes[0]: \"points\": a polygon has at least 3, not 2");
  put(folder / "set/a.json", R"({"imagePath": "a.png", "shapes": [{"points": [[1, 2, 3]]}]})");
  CHECK_ERROR(read("labelme", folder / "set"), "a.json: shapes[0]: points[0]");
  put(folder / "set/a.json", R"({"shapes": []})");
  CHECK_ERROR(read("labelme", folder / "set"), "there is no \"imagePath\"");
}

TEST_CASE("labelme: masks are read at their place, alone or with polygons of their group") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "set");
  save_png(folder / "set/a.png", Tensor::full({20, 30, 3}, 9, DType::kU8));
  Tensor drawn = Tensor::full({2, 3}, 1, DType::kU8);
  drawn.data<u8>()[1] = 0;
  const std::string mask = R"("mask": ")" + encode_base64(encode_png(drawn)) + '"';
  const auto put_shape = [&](const std::string& points, const std::string& more) {
    put(folder / "set/a.json", R"({"imagePath": "a.png", "imageHeight": 20, "imageWidth": 30, "shapes": [
        {"label": "cat", "shape_type": "mask", "points": )" +
                                   points + ", " + mask + more + "}]}");
  };
  put_shape("[[27, 18], [29, 19.0]]", R"(, "group_id": 1}, {"label": "cat", "points": [[2, 2], [6, 2], [6, 5], [2, 5]],
        "group_id": 1}, {"label": "dog", "shape_type": "mask", "points": [[0, 0], [2, 1]], )" +
                                          mask);
  const AnnotatedPictures set = read("labelme", folder / "set");
  CHECK(set.left_out.empty());
  REQUIRE(set.dataset.annotations.size() == 2);
  CHECK(set.dataset.annotations[0].area == 5 + 12);
  const Tensor whole = decode_rle(annotation_mask(set.dataset.annotations[0], 20, 30));
  CHECK(whole.data<u8>()[18 * 30 + 27] == 1);
  CHECK(whole.data<u8>()[18 * 30 + 28] == 0);
  CHECK(whole.data<u8>()[19 * 30 + 29] == 1);
  CHECK(*set.dataset.annotations[1].bbox == XywhBox{0, 0, 3, 2});

  put_shape("[[28, 18], [30, 19]]", "");
  CHECK_ERROR(read("labelme", folder / "set"),
              "a.json: \"mask\": 2 x 3 pixels (height x width) from (28, 18) on are not within a picture of 20 x 30");
  put_shape("[[1, 1], [2, 2]]", "");
  CHECK_ERROR(read("labelme", folder / "set"),
              "a.json: shapes[0]: \"mask\" is 2 x 3 pixels (height x width), from its first");
  put_shape("[[1, 1], [1e30, 2]]", "");
  CHECK_ERROR(read("labelme", folder / "set"), "lies in no picture");
  put_shape("[[1, 1], [3, 2]]", R"(, "mask": "Zm9v")");
  CHECK_ERROR(read("labelme", folder / "set"), "a.json: shapes[0]: \"mask\"");
}

TEST_CASE("yolo: classes.txt beside the files is enough; a box has no mask; mistakes name file and line") {
  const TemporaryFolder folder;
  const fs::path set = folder / "set";
  fs::create_directories(set / "pictures");
  save_png(set / "pictures/a.png", Tensor::full({20, 30, 3}, 9, DType::kU8));
  const auto with = [&](const std::string& text) {
    put(set / "labels/a.txt", text);
    return read("yolo", set);
  };
  CHECK_ERROR(with(""), "there is neither a data.yaml nor a classes.txt");
  put(set / "classes.txt", "cat\r\ndog\r\n");
  const AnnotatedPictures good = with("1 0.1 0.1 0.2 0.1 0.2 0.5\r\n\n0  0.5 0.5 0.2 0.4 \n");
  REQUIRE(good.dataset.annotations.size() == 2);
  CHECK(good.dataset.categories[1].name == "dog");
  CHECK(good.dataset.annotations[0].category_id == 2);
  CHECK(std::get<Polygons>(good.dataset.annotations[0].segmentation) == Polygons{{3, 2, 6, 2, 6, 10}});
  CHECK(good.dataset.annotations[1].bbox == XywhBox{12, 6, 6, 8});
  CHECK(std::holds_alternative<std::monostate>(good.dataset.annotations[1].segmentation));
  CHECK_ERROR(with("0 0.1 0.1 0.2 0.1 0.2 0.5\n2 0 0 1 0 1 1"), "a.txt:2: there is no class 2; there are 2");
  CHECK_ERROR(with("0 0.1 0.1 0.2 0.1 0.2"), "a.txt:1: a class and at least 3 points are expected");
  CHECK_ERROR(with("0 0.1 0.1 0.2 0,1 0.2 0.5"), "a.txt:1: \"0,1\" is no number");
  CHECK_ERROR(with("0 2 2 10 2 10 10"), "a.txt:1: 2 is no share of the width or height");
  CHECK_ERROR(with("\n0 0.5 0.5 0.2 -0.4"), "a.txt:2: a box of 0.2 x -0.4 (width x height) is none");
  CHECK(with("0 0.5 0.5 1.2 1.2").dataset.annotations.size() == 1);  // reaches out of the picture
  CHECK(read("yolo", set).dataset.name.ends_with("classes.txt"));    // not a data.yaml that is not there
  put(set / "classes.txt", "cat\n\ndog\n \n");
  CHECK_ERROR(read("yolo", set), "classes.txt:2: the line is blank");
}

TEST_CASE("yolo: data.yaml names classes as a list or by number, and folders or lists of pictures") {
  const TemporaryFolder folder;
  const fs::path yaml = folder / "data.yaml";
  fs::create_directories(folder / "sub/images/part");
  save_png(folder / "sub/images/part/a.png", Tensor::full({20, 30, 3}, 9, DType::kU8));
  put(folder / "sub/labels/part/a.txt", "1 0.1 0.1 0.2 0.1 0.2 0.5\n");
  const auto with = [&](const std::string& text) {
    put(yaml, text);
    return read("yolo", yaml);
  };
  for (const char* names : {"names: [cat, dog]\n", "names:\n  0: cat\n  1: dog\n", "names:\n- cat\n- dog\n"})
    CHECK(content(with(std::string("path: sub\ntrain: images/part\n") + names))[0].starts_with("a dog "));
  put(folder / "sub/list.txt", "./images/part/a.png\n");
  CHECK(with("path: sub\ntrain: [list.txt]\nnames: [cat, dog]\n").dataset.annotations.size() == 1);
  put(yaml, "path: sub\nfolds: images/part\nnc: 2\nkpt_shape: [17, 3]\nsizes: [{a: 1}]\nnames: [cat, dog]\n");
  CHECK(read("yolo", yaml, {}, "folds").dataset.annotations.size() == 1);
  CHECK_ERROR(with("train: x\nnames: {0: a, 2: b}\n"), "names: there are 2, but none is number 1");
  CHECK_ERROR(with("train: x\n"), "there is no \"names:\"");
  CHECK_ERROR(with("names: [a\ntrain: x\n"), "data.yaml:");
  CHECK_ERROR(with("- a\n"), "\"names:\" and \"train:\" are expected");
  CHECK_ERROR(with("train: []\nnames: [a]\n"), "there is no picture in it");
  CHECK_ERROR(with("val: x\nnames: [a]\n"), "there is no \"train:\"");
}

TEST_CASE("voc: PNGs have VOC's palette, borders are left out, mistakes name the file") {
  const TemporaryFolder folder;
  const AnnotatedPictures set =
      one_picture(folder, {{.bbox = XywhBox{2, 3, 4, 5}, .segmentation = rasterise_box({2, 3, 4, 5}, 20, 30)}});
  const fs::path voc = folder / "voc", xml = voc / "Annotations/a.xml", png = voc / "SegmentationObject/a.png";
  find_format("voc").write(set, voc, "train", ignored);
  const Tensor colours = load_image(png);
  CHECK(colours.data<u8>()[(3 * 30 + 2) * 3] == 128);  // object 1 is dark red
  CHECK(colours.data<u8>()[(3 * 30 + 2) * 3 + 1] == 0);
  const std::string text = read_file(xml);
  for (const char* part : {"<xmin>3</xmin>", "<ymin>4</ymin>", "<xmax>6</xmax>", "<ymax>8</ymax>", "<name>cat</name>"})
    CHECK(text.find(part) != std::string::npos);
  CHECK(read("voc", voc).dataset.annotations[0].bbox == XywhBox{2, 3, 4, 5});
  Tensor map = Tensor::zeros({20, 30}, DType::kU8);
  map.data<u8>()[0] = 1;
  map.data<u8>()[1] = 255;
  save_png(png, map);  // without a palette it is read as well
  CHECK(read("voc", voc).dataset.annotations[0].area == 1);
  map.data<u8>()[1] = 2;
  save_png(png, map);
  CHECK_ERROR(read("voc", voc), "1 pixels are of object 2, but");
  put(xml, "<annotation>\n<object><name>cat</name>\n</objct></annotation>");
  CHECK_ERROR(read("voc", voc), "a.xml:3: is no XML");
  put(xml, "<annotation>\n<object><bndbox/></object></annotation>");
  CHECK_ERROR(read("voc", voc), "a.xml:2: an <object> has no <name>");
  put(xml, "<annotation>\n\n<object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object></annotation>");
  CHECK_ERROR(read("voc", voc), "a.xml:3: <bndbox>: <xmin>: \"x\" is no number");
  put(xml, "<annotation><object><name>cow</name></object></annotation>");
  CHECK_ERROR(read("voc", voc), "there is no class cow in labelmap.txt");
}

TEST_CASE("masks: the layout of nuclei is read, and maps without classes; other sizes and values are named") {
  const TemporaryFolder folder;
  const auto mask = [](i64 left) {
    Tensor pixels = Tensor::zeros({20, 30}, DType::kU8);
    pixels.data<u8>()[left] = 255;
    return pixels;
  };
  for (const char* sub : {"n/a/images", "n/a/masks", "maps"}) fs::create_directories(folder / sub);
  save_png(folder / "n/a/images/a.png", Tensor::full({20, 30, 3}, 9, DType::kU8));
  save_png(folder / "n/a/masks/x.png", mask(3));
  save_png(folder / "n/a/masks/y.png", mask(5));
  const AnnotatedPictures nuclei = read("masks", folder / "n", folder / "n");
  CHECK(nuclei.dataset.images[0].file_name == "a/images/a.png");
  REQUIRE(nuclei.dataset.annotations.size() == 2);
  CHECK(nuclei.dataset.categories[0].name == "object");
  CHECK(nuclei.dataset.annotations[1].bbox == XywhBox{5, 0, 1, 1});
  CHECK_ERROR(read("masks", folder / "n"), "--images names it");
  CHECK_ERROR(read("masks", folder / "n", folder / "maps"), "there is no picture a.jpg, .jpeg or .png");
  save_png(folder / "n/a/masks/y.png", Tensor::zeros({20, 31}, DType::kU8));
  CHECK_ERROR(read("masks", folder / "n", folder / "n"), "y.png: the mask is 20 x 31 pixels");

  Tensor map = Tensor::zeros({20, 30}, DType::kI32);
  map.data<i32>()[0] = 300;
  map.data<i32>()[1] = 7;
  save_png(folder / "maps/a.png", map);
  CHECK(read("label-maps", folder / "maps", folder / "n").dataset.annotations.size() == 2);
  put(folder / "maps/classes.txt", "cat\n");
  CHECK_ERROR(read("label-maps", folder / "maps", folder / "n"),
              "1 pixels have the value 7, which is not 1000 * class");
}

}  // namespace
}  // namespace tessera
