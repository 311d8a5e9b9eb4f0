// The house rules of all source files, and that the check can fail.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/house/include_rules.h"
#include "tests/support/paths.h"

namespace tessera::house {

namespace {

namespace fs = std::filesystem;

bool anything(const std::string&) {
  return true;
}

// The only message about a file of one line, or "" when nothing is wrong.
std::string only(const std::string& path, const std::string& line) {
  const std::vector<std::string> messages = check_source(path, line, anything);
  REQUIRE(messages.size() <= 1);
  return messages.empty() ? "" : messages[0];
}

bool is_source(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".h" || extension == ".cpp" || extension == ".cu" || extension == ".cuh";
}

}  // namespace

TEST_CASE("house: every #include goes down the floors and exists, and models name no device") {
  const fs::path root = test::source_dir();
  const auto exists = [&](const std::string& path) { return fs::is_regular_file(root / path); };
  int files = 0;
  for (const fs::directory_entry& folder : fs::directory_iterator(root)) {
    const std::string name = folder.path().filename().string();
    if (!folder.is_directory() || name[0] == '.' || name == "build" || name == "runs") continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++files;
      std::ifstream stream(entry.path());
      const std::string text{std::istreambuf_iterator<char>(stream), {}};
      const std::string path = fs::relative(entry.path(), root).generic_string();
      for (const std::string& message : check_source(path, text, exists)) FAIL_CHECK(message);
      if (const std::string message = check_own_header(path, text, exists); !message.empty()) FAIL_CHECK(message);
    }
  }
  CHECK(files > 50);  // the walk did find the sources
}

TEST_CASE("house: a floor may include itself and those below it") {
  CHECK(only("ops/conv2d.h", "#include \"tensor/tensor.h\"") == "");
  CHECK(only("ops/cpu/conv2d.cpp", "#include \"ops/conv2d.h\"") == "");
  CHECK(only("models/resnet.h", "#include \"nn/module.h\"") == "");
  CHECK(only("eval/coco.cpp", "#include \"data/rle.h\"") == "");
  CHECK(only("cli/main.cpp", "#include \"train/trainer.h\"") == "");
  CHECK(only("tests/ops/main.cpp", "#include \"ops/conv2d.h\"") == "");
  CHECK(only("tensor/tensor.h", "#include <vector>") == "");
}

TEST_CASE("house: an #include up the floors is named with file and line") {
  const std::vector<std::string> messages =
      check_source("ops/conv2d.cpp", "// head\n#include \"ops/conv2d.h\"\n  #  include \"autograd/var.h\"\n", anything);
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] == "ops/conv2d.cpp:3: ops/ includes \"autograd/var.h\"; it stands on tensor alone");
  CHECK(only("tensor/tensor.h", "#include \"ops/conv2d.h\"").find("stands on nothing alone") != std::string::npos);
  CHECK(only("eval/coco.cpp", "#include \"models/segmenter.h\"") != "");
  CHECK(only("eval/coco.cpp", "#include \"ops/conv2d.h\"") != "");
  CHECK(only("data/loader.cpp", "#include \"nn/module.h\"") != "");
  CHECK(only("models/resnet.h", "#include \"train/trainer.h\"") != "");
  CHECK(only("nn/module.h", "#include \"data/sample.h\"") != "");
  CHECK(only("train/trainer.h", "#include \"tests/support/check_error.h\"") != "");
}

TEST_CASE("house: a source begins with its own header, which therefore compiles alone") {
  const auto exists = [](const std::string& path) { return path == "tensor/shape.h"; };
  CHECK(check_own_header("tensor/shape.cpp", "// head\n#include \"tensor/shape.h\"\n#include <vector>\n", exists) ==
        "");
  CHECK(check_own_header("tensor/main.cpp", "#include <vector>\n", exists) == "");
  CHECK(check_own_header("tensor/shape.cpp", "#include <vector>\n#include \"tensor/shape.h\"\n", exists) ==
        "tensor/shape.cpp: must include \"tensor/shape.h\" before anything else");
}

TEST_CASE("house: train and cli know models through segmenter.h and model.h alone") {
  CHECK(only("cli/predict.cpp", "#include \"models/segmenter.h\"") == "");
  CHECK(only("train/config.h", "#include \"models/model.h\"") == "");
  CHECK(only("cli/maps.cpp", "#include \"models/sparseinst/sparseinst.h\"") ==
        "cli/maps.cpp:1: includes \"models/sparseinst/sparseinst.h\"; cli/ knows no family of models: models/model.h "
        "does");
  CHECK(only("train/config.cpp", "#include \"models/fqdet/config.h\"") != "");
  CHECK(only("bench/models.cpp", "#include \"models/sparseinst/sparseinst.h\"") == "");
}

TEST_CASE("house: a header that does not exist, a folder that is no floor and CUDA outside its rooms are named") {
  const auto nothing = [](const std::string&) { return false; };
  CHECK(check_source("ops/a.cpp", "#include \"a.h\"", nothing).at(0).find("\"a.h\", which does not exist") !=
        std::string::npos);
  CHECK(only("attic/a.cpp", "int a;") == "attic/a.cpp:1: lies on no floor of the house");
  CHECK(only("nn/a.cpp", "#include <cuda_runtime.h>") != "");
  CHECK(only("ops/cuda/a.cu", "#include <cuda_runtime.h>") == "");
}

TEST_CASE("house: a model that names a device is caught, one that asks a tensor for its device is not") {
  CHECK(only("models/a.cpp", "Tensor x = Tensor::zeros({1}, DType::kF32, y.device());") == "");
  CHECK(only("models/a.cpp", "int x;  // works for DeviceKind::kCpu as well") == "");
  CHECK(only("models/a.cpp", "if (x.device().kind == DeviceKind::kCpu) return;") ==
        "models/a.cpp:1: names a device (DeviceKind); models/ never does");
  CHECK(only("models/a.cpp", "module.to(Device::parse(name));") != "");
}

}  // namespace tessera::house
