#include "tests/docs/checkout.h"

#include <fmt/format.h>

#include "data/cityscapes.h"
#include "data/image.h"
#include "data/panoptic.h"
#include "data/rasterise.h"
#include "data/video.h"
#include "ops/kernel_table.h"
#include "tensor/safetensors.h"
#include "tests/data/test_images.h"
#include "tests/data/test_video.h"
#include "train/weights.h"

namespace tessera::test {

namespace {

void write_program(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  write_file(path, text);
  fs::permissions(path, fs::perms::owner_all);
}

nlohmann::json read_json(const fs::path& path) {
  return nlohmann::json::parse(read_file(path));
}

std::string device_under_test() {
  for (const DeviceKind kind : {DeviceKind::kCuda, DeviceKind::kCudaEmulated})
    for (const KernelTableBase* table : KernelTableBase::all())
      if (table->supports(kind)) return std::string(name_of(kind));
  return "cpu";
}

// {0}: the folder of the programs under test, {1}: the device.
constexpr const char* kTool = R"(#!/bin/bash
name=$(basename "$0")
[[ -x {0}/$name ]] || exit 0  # tessera_bench and tessera_races are not part of every build
[[ {2} == false && " $* " == *.m[pk][4v]\ * ]] && exit 0  # nor are videos
words=()
for word in "$@"; do
  [[ $word == cuda || $word == cuda-emulated ]] && word={1}
  [[ {1} == cpu && ( $word == --mixed-precision || $word == --graph ) ]] || words+=("$word")
done
program={0}/$name
[[ $name == tessera && {1} == cuda-emulated ]] && program={0}/tessera_emulated
small=(--set input.shortest=64 --set input.longest=96)
case "${{name/_emulated/}} $1" in
  "tessera train") words+=("${{small[@]}}" --set training.steps=2 --set training.batch_size=1 --set training.accumulate=1
    --set data.workers=1 --set 'augment.shortest=[64]' --set augment.longest=96) ;;
  "tessera eval" | "tessera predict" | "tessera maps") words+=("${{small[@]}}") ;;
  "tessera bench") words+=(--size 64 --seconds 0.1) ;;
  "tessera info") [[ " $* " == *" --model "* ]] && words+=(--size 64) ;;
  "tessera data") [[ $2 == shapes ]] && words+=(--train 6 --val 3 --size 64) ;;
  "tessera_tests "*) words=(--count) ;;
  "tessera_ops bench") words+=(-p 'nobias') ;;
  "tessera_bench "*) words+=(--list) ;;
esac
exec "$program" "${{words[@]}}"
)";

// {0}: the real one.
constexpr const char* kRun = R"(#!/bin/bash
{0} help | grep -q "^  $1 " || {{ echo "./run has no command $1" >&2; exit 2; }}
)";

}  // namespace

Checkout::Checkout() {
  write_programs();
  write_data();
  write_weights();
  write_cityscapes();
  write_panoptic();
  for (const char* name : {"configs", "docs", "tests"}) fs::create_symlink(source_dir() / name, folder_ / name);
}

void Checkout::write_programs() const {
  for (const char* preset : {"release", "cuda"})
    for (const char* name : {"tessera", "tessera_emulated", "tessera_tests", "tessera_ops", "tessera_races",
                             "tessera_goldens", "tessera_bench"})
      write_program(folder_ / "build" / preset / name,
                    fmt::format(fmt::runtime(kTool), binary_dir().string(), device_under_test(), has_video()));
  write_program(folder_ / "run", fmt::format(fmt::runtime(kRun), (source_dir() / "run").string()));
  for (const char* name : {"wget", "unzip"}) write_program(folder_ / "bin" / name, "#!/bin/bash\n");
}

void Checkout::write_data() const {
  const fs::path own = folder_ / "my", coco = folder_ / "coco";
  const Outcome made = run({"data", "shapes", "--out", own.string(), "--train", "6", "--val", "3", "--size", "64"});
  REQUIRE_MESSAGE(made.code == 0, made.err);
  nlohmann::json all = read_json(own / "instances_train.json");  // of slides with two fields each
  for (size_t i = 0; i < all["images"].size(); ++i)
    all["images"][i]["file_name"] = fmt::format("slide{}_{}.png", i / 2, i % 2);
  write_file(own / "instances_all.json", all.dump());
  fs::create_directory_symlink(own / "val", folder_ / "folder");
  fs::create_directory(folder_ / "frames");
  for (i64 i = 0; i < 3; ++i) save_png(folder_ / "frames" / fmt::format("{}.png", i), moving_square(i));
  if (has_video()) write_clip(folder_ / "in.mp4", even_times(3));
  write_file(folder_ / "photo.jpg", jpeg_bytes(load_image(fs::directory_iterator(own / "val")->path())));

  for (i64 i = 0; i < 6; ++i) {  // bright squares on black, in the layout of the Data Science Bowl
    const fs::path sample = folder_ / "nuclei" / fmt::format("{:02}", i);
    fs::create_directories(sample / "images");
    fs::create_directories(sample / "masks");
    Tensor picture = Tensor::full({64, 64, 3}, i, DType::kU8);
    for (i64 k = 0; k < 4; ++k) {
      Tensor mask = Tensor::zeros({64, 64}, DType::kU8);
      for (i64 y = 0; y < 10 + i; ++y)
        for (i64 x = 0; x < 12; ++x) {
          const i64 pixel = (y + 4 + k / 2 * 30) * 64 + x + 4 + k % 2 * 30;
          mask.data<u8>()[pixel] = 255;
          std::fill_n(picture.data<u8>() + pixel * 3, 3, static_cast<u8>(200));
        }
      save_png(sample / "masks" / fmt::format("{}.png", k), mask);
    }
    save_png(sample / "images" / fmt::format("{:02}.png", i), picture);
  }

  fs::create_directories(coco / "annotations");
  write_file(coco / "all.zip", "");
  for (const std::string split : {"train", "val"}) {
    nlohmann::json file = read_json(own / ("instances_" + split + ".json"));
    for (int id = static_cast<int>(file["categories"].size()) + 1; id <= 80; ++id)
      file["categories"].push_back({{"id", id}, {"name", fmt::format("class {}", id)}});
    write_file(coco / "annotations" / ("instances_" + split + "2017.json"), file.dump());
    fs::create_directory_symlink(own / split, coco / (split + "2017"));
    if (split == "train") continue;
    nlohmann::json results = nlohmann::json::array();
    for (const nlohmann::json& annotation : file["annotations"])
      results.push_back({{"image_id", annotation["image_id"]},
                         {"category_id", annotation["category_id"]},
                         {"bbox", annotation["bbox"]},
                         {"segmentation", annotation["segmentation"]},
                         {"score", 0.5}});
    write_file(folder_ / "results.json", results.dump());
    file.erase("annotations");
    write_file(coco / "annotations/image_info_test-dev2017.json", file.dump());
    fs::create_directory_symlink(own / "val", coco / "test2017");
  }
}

void Checkout::write_weights() const {
  const auto write = [&](const std::string& config, const char* file) {
    const auto model = make_model(read_config(source_dir() / "configs/sparseinst" / (config + ".toml")).model, 1);
    std::vector<NamedTensor> tensors = reference_tensors(*model);
    save_safetensors(folder_ / file, tensors, {});
    return tensors;
  };
  write("r50vd_dcn_giam_aug", "sparse_inst_r50vd_dcn_giam_aug.pth");
  std::vector<NamedTensor> tensors = write("r50_giam", "sparse_inst_r50_giam.pth");
  std::erase_if(tensors, [](const NamedTensor& entry) { return !entry.name.starts_with("backbone.res2."); });
  for (const char* name : {"R-50.pkl", "resnet50.pth", "resnet50-0676ba61.pth"})
    save_safetensors(folder_ / name, tensors, {});
}

// Shapes in its layout, and results that find nothing.
void Checkout::write_cityscapes() const {
  const fs::path set = folder_ / "cityscapes";
  const Outcome made =
      run({"data", "shapes", "--cityscapes", "--out", set.string(), "--train", "6", "--val", "3", "--size", "64"});
  REQUIRE_MESSAGE(made.code == 0, made.err);
  for (const CityscapesImage& image : list_cityscapes(set))
    save_cityscapes_results(folder_ / "my_results", image.name, {});
}

// A person of 20 x 20 pixels before grass, and a result that finds both.
void Checkout::write_panoptic() const {
  const ImageSize size{32, 64};
  const Rle person = rasterise_box({4, 4, 20, 20}, size.height, size.width);
  const Rle grass = rasterise_box({0, 24, 64, 8}, size.height, size.width);
  const std::vector<PanopticSegment> segments = {{.id = 1, .category_id = 1, .area = 400},
                                                 {.id = 2, .category_id = 193, .area = 512}};
  PanopticFile file{.images = {{.id = 1, .file_name = "a.jpg", .height = size.height, .width = size.width}},
                    .categories = {{.id = 1, .name = "person"}, {.id = 193, .name = "grass", .isthing = false}},
                    .pictures = {{.image_id = 1, .png = "a.png", .segments = segments}}};
  for (const char* name : {"coco/annotations/panoptic_val2017.json", "my_panoptic.json"}) {
    file.name = (folder_ / name).string();
    file.folder = panoptic_folder(file.name);
    fs::create_directories(file.folder);
    save_panoptic(file);
    save_segments(file.png_of(file.pictures[0]), size, std::vector{person, grass});
  }
}

void Checkout::lay(const fs::path& folder) const {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path()))
    fs::create_symlink(entry.path(), folder / entry.path().filename());
}

Outcome run_script(const fs::path& folder, const std::string& script) {
  write_file(folder / "script.sh", "set -eE\nPATH=bin:$PATH\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n" + script);
  const Program program(folder, {"-c", "cd \"" + folder.string() + "\" && bash script.sh"}, "/bin/bash");
  return program.wait();
}

}  // namespace tessera::test
