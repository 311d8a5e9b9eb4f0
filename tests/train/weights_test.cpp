#include "train/weights.h"

#include <doctest/doctest.h>

#include <cstring>

#include "nn/layers.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy.h"
#include "train/checkpoint.h"

using namespace tessera;

namespace {

// One convolution over colours, as the reference names it.
struct Stem : nn::Module {
  Stem() : random(1), conv({.in = 3, .out = 2, .kernel = 2, .bias = false}, random) {}
  void visit(nn::Visitor& v) override { v.child("backbone.conv", conv); }
  Random random;
  nn::Conv2d conv;
};

TrainingConfig from_file(const std::filesystem::path& path) {
  TrainingConfig config;
  config.init_weights = path.string();
  return config;
}

}  // namespace

TEST_CASE("weights: a file in PyTorch's layout is transposed, prefixed, and turned from BGR to RGB on request") {
  const test::TemporaryFolder folder;
  std::vector<float> theirs(24);  // [O, I, H, W] = [2, 3, 2, 2]; the value tells the place
  for (size_t i = 0; i < theirs.size(); ++i) theirs[i] = static_cast<float>(i);
  save_safetensors(folder / "w.safetensors",
                   {{"conv.weight", Tensor::from(theirs, {2, 3, 2, 2})}, {"fc.weight", Tensor::zeros({2})}});
  TrainingConfig config = from_file(folder / "w.safetensors");
  Stem stem;
  config.init_prefix = "other.";
  CHECK_ERROR(load_initial_weights(stem, config), "no tensor fits the model (training.init_prefix is \"other.\")");
  config.init_prefix = "";  // "backbone." is found out
  const nn::LoadReport report = load_initial_weights(stem, config).report;
  CHECK(report.loaded == std::vector<std::string>{"backbone.conv.weight"});
  CHECK(report.unexpected == std::vector<std::string>{"backbone.fc.weight"});
  const auto at = [&](i64 o, i64 h, i64 w, i64 i) {
    return stem.conv.weight.value().span<float>()[((o * 2 + h) * 2 + w) * 3 + i];
  };
  CHECK(at(1, 0, 1, 2) == 1 * 12 + 2 * 4 + 0 * 2 + 1);
  config.init_bgr = true;
  load_initial_weights(stem, config);
  CHECK(at(1, 0, 1, 2) == 1 * 12 + 0 * 4 + 0 * 2 + 1);
  CHECK(at(1, 0, 1, 1) == 1 * 12 + 1 * 4 + 0 * 2 + 1);
}

TEST_CASE("weights: one of our checkpoints gives its averages, and what does not fit is reported") {
  const test::TemporaryFolder folder;
  test::Toy toy;
  Ema ema(toy, 0.5);  // remembers the initial weights
  const float first = toy.weight.value().span<float>()[0];
  toy.weight.value().fill(7);
  save_checkpoint(folder / "a.safetensors", {}, toy, nullptr, &ema);
  test::Toy other;
  other.weight.value().fill(0);
  other.bias = Var(Tensor::zeros({4}), true);
  const nn::LoadReport report = load_initial_weights(other, from_file(folder / "a.safetensors")).report;
  CHECK(other.weight.value().span<float>()[0] == first);
  CHECK(report.loaded.size() == 3);
  CHECK(report.mismatched == std::vector<std::string>{"bias: file [3], model [4]"});
}

TEST_CASE("weights: a table tells of every tensor what became of it") {
  const test::TemporaryFolder folder;
  save_safetensors(folder / "w.safetensors",
                   {{"module.conv.weight", Tensor::zeros({2, 3, 1, 1})}, {"module.fc.bias", Tensor::zeros({7})}});
  Stem stem;
  const WeightsFile file = read_weights_file(folder / "w.safetensors");
  const std::string table = load_weights(stem, file, nn::Strictness::kMatching).table(stem, file);
  for (const char* part : {"misfit", "backbone.conv.weight", "[2, 3, 2, 2]", "module.conv.weight [2, 3, 1, 1]",
                           "left over", "module.fc.bias [7]", "0 tensors fit, 0 are missing, 1 are of another shape",
                           "without module., backbone. put before them"}) {
    CAPTURE(part);
    CHECK(table.find(part) != std::string::npos);
  }
  CHECK_ERROR(load_weights(stem, file, nn::Strictness::kExact), "w.safetensors: load_state: the weights do not fit");
  CHECK_ERROR(load_weights(stem, file, nn::Strictness::kExact), "backbone.conv.weight: file [2, 1, 1, 3], model [2, 2");
  CHECK_ERROR(load_weights(stem, file, nn::Strictness::kExact), "backbone.fc.bias");
}

TEST_CASE("weights: what is written for PyTorch reads back as the same bits") {
  const test::TemporaryFolder folder;
  Stem stem, other;
  stem.conv.weight.value().span<float>()[5] = -0.0f;
  save_safetensors(folder / "w.safetensors", reference_tensors(stem));
  CHECK(read_weights_file(folder / "w.safetensors").tensors[0].tensor.shape() == Shape{2, 3, 2, 2});
  other.conv.weight.value().fill(9);
  load_weights(other, read_weights_file(folder / "w.safetensors"), nn::Strictness::kExact);
  CHECK(std::memcmp(stem.conv.weight.value().raw(), other.conv.weight.value().raw(), 24 * sizeof(float)) == 0);
}
