#include <doctest/doctest.h>

#include <cstring>

#include "models/backbones/body_backbone.h"
#include "models/backbones/resnet.h"
#include "nn/layers.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy.h"
#include "train/checkpoint.h"
#include "train/transfer.h"

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

struct Network : nn::Module {
  Network() : random(1), conv({.in = 3, .out = 2, .kernel = 2}, random), fc(4, 5, random) {}
  void visit(nn::Visitor& v) override {
    v.child("backbone.conv", conv);
    v.child("decoder.fc", fc);
  }
  Random random;
  nn::Conv2d conv;
  nn::Linear fc;
};

// A part of each kind of FQDet's, as its reference names it.
struct Detector : nn::Module {
  explicit Detector(u64 seed)
      : random(seed),
        backbone({.kind = BackboneKind::kTiny, .names = BackboneNames::kTorchvision}, random, {2, 3, 4, 5}),
        lateral({.in = 3, .out = 2, .kernel = 2}, random),
        classes(4, 5, random) {}
  void visit(nn::Visitor& v) override {
    v.child("backbone", backbone);
    v.child("core.body.lateral_convs.0.conv", lateral);
    v.child("heads.gvd.heads.0.logits.2", classes);
  }
  Random random;
  BodyBackbone backbone;
  nn::Conv2d lateral;
  nn::Linear classes;
};

// Pieces of a pickle, protocol 2: a dict, and a NumPy array of f32 whose elements are all `value`.
using Entries = std::vector<std::pair<std::string, std::string>>;
std::string dict(const Entries& entries) {
  std::string code = "}(";
  for (const auto& [key, value] : entries) code += "U" + std::string(1, static_cast<char>(key.size())) + key + value;
  return code + "u";
}
std::string array(const Shape& shape, float value) {
  using namespace std::string_literals;
  std::string code = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85"s + "C\1b\x87R(K\1("s;
  for (const i64 size : shape) code += "K"s + static_cast<char>(size);
  code += "tcnumpy\ndtype\nU\2f4\x85R\x89"s + "C" + static_cast<char>(shape.numel() * 4);
  for (i64 i = 0; i < shape.numel(); ++i) code.append(reinterpret_cast<const char*>(&value), sizeof value);
  return code + "tb";
}
// The state dict of Network, filled with `value`.
Entries network(const std::string& prefix, float value, i64 classes = 5) {
  return {{prefix + "backbone.conv.weight", array({2, 3, 2, 2}, value)},
          {prefix + "backbone.conv.bias", array({2}, value)},
          {prefix + "decoder.fc.weight", array({classes, 4}, value)},
          {prefix + "decoder.fc.bias", array({classes}, value)}};
}
WeightsFile pickled(const test::TemporaryFolder& folder, const std::string& root) {
  write_file(folder / "w.pkl", "\x80\2" + root + ".");
  return read_weights_file(folder / "w.pkl");
}

// Loads what the pickle holds, all of it or an error, and gives the value that the network is filled with then.
float loaded(const std::string& root) {
  const test::TemporaryFolder folder;
  Network model;
  load_weights(model, pickled(folder, root), nn::Strictness::kExact);
  for (const nn::StateEntry& entry : nn::state(model))
    for (const float value : entry.tensor.span<float>()) REQUIRE(value == model.fc.bias.value().span<float>()[0]);
  return model.fc.bias.value().span<float>()[0];
}

}  // namespace

TEST_CASE("weights: a state dict is found under any key, nested too, with what stands before its names") {
  const std::string adam = dict({{"state", dict({{"0", dict({{"exp_avg", array({2, 3, 2, 2}, 9)}})}})}});
  CHECK(loaded(dict(network("", 1))) == 1);
  CHECK(loaded(dict(network("module._orig_mod.", 2))) == 2);
  CHECK(loaded(dict({{"net", dict(network("", 3))}})) == 3);
  CHECK(loaded(dict({{"net", dict(network("module.", 4))}, {"epoch", "K\3"}, {"optimizer", adam}})) == 4);
  CHECK(loaded(dict({{"run", dict({{"best", dict(network("_orig_mod.", 5))}})}, {"step", array({1}, 7)}})) == 5);
  CHECK(loaded("](" + dict(network("", 6)) + adam + "e") == 6);  // a list of both
  CHECK(loaded(dict({{"state_dict", dict({{"net", dict(network("", 7))}})}})) == 7);
  const auto part = [](const char* layer, const Shape& weight, i64 bias) {
    return dict({{layer, dict({{"weight", array(weight, 8)}, {"bias", array({bias}, 8)}})}});
  };
  CHECK(loaded(dict({{"backbone", part("conv", {2, 3, 2, 2}, 2)}, {"decoder", part("fc", {5, 4}, 5)}})) == 8);
}

TEST_CASE("weights: of several state dicts the one that fits best is loaded, of equals the averaged one") {
  const auto both = [](const char* first, const Entries& a, const char* second, const Entries& b) {
    return dict({{first, dict(a)}, {second, dict(b)}});
  };
  CHECK(loaded(both("model", {{"generator.weight", array({2}, 0)}}, "net", network("", 1))) == 1);
  CHECK(loaded(both("student", network("", 1, 4), "teacher", network("", 2))) == 2);  // the shapes tell
  CHECK(loaded(both("model", network("", 1), "model_ema", network("", 2))) == 2);
  CHECK(loaded(both("state_dict", network("", 1), "optimizer", network("", 2))) == 1);
  const std::string equal = both("student", network("", 1), "teacher", network("module.", 2));
  CHECK_ERROR(loaded(equal), "w.pkl: student., teacher.module. fit the model equally well, 4 tensors each");
}

TEST_CASE("weights: the report of what was loaded groups by module") {
  const test::TemporaryFolder folder;
  Network model;
  const auto report = [&](Entries entries) {
    return load_weights(model, pickled(folder, dict(entries)), nn::Strictness::kMatching).report.str();
  };
  Entries entries = network("", 1);
  CHECK(report(entries) == "backbone.*: 2 of 2 loaded; decoder.*: 2 of 2 loaded");
  entries.pop_back();
  CHECK(report(entries) == "backbone.*: 2 of 2 loaded; decoder.*: 1 of 2 loaded, missing decoder.fc.bias");
  entries.pop_back();
  entries.emplace_back("head.bias", array({1}, 0));
  CHECK(report(entries) == "backbone.*: 2 of 2 loaded; decoder.*: 2 missing; not in the model: head.bias");
  CHECK(report(network("", 1, 3)) ==
        "backbone.*: 2 of 2 loaded; decoder.*: 0 of 2 loaded; of another shape: decoder.fc.weight: file [3, 4], model "
        "[5, 4], decoder.fc.bias: file [3], model [5]");
}

TEST_CASE("weights: a run's folder gives its best checkpoint, or else the latest") {
  const test::TemporaryFolder folder;
  test::Toy toy, other;
  const auto save = [&](const std::filesystem::path& path, float value) {
    toy.weight.value().fill(value);
    save_checkpoint(path, {}, toy, nullptr, nullptr);
  };
  const auto first = [&] {
    load_initial_weights(other, from_file(folder.path()));
    return other.weight.value().span<float>()[0];
  };
  CHECK_ERROR(first(), "holds no checkpoint");
  save(checkpoint_path(folder.path(), 3), 3);
  save(checkpoint_path(folder.path(), 6), 6);
  CHECK(first() == 6);
  save(best_path(folder.path()), 3);
  CHECK(first() == 3);
}

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
  const nn::LoadReport report = load_initial_weights(stem, config).loaded.report;
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
  const nn::LoadReport report = load_initial_weights(other, from_file(folder / "a.safetensors")).loaded.report;
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

TEST_CASE(
    "weights: a checkpoint of DetSeg gives its model, its arguments and the state of its training are passed over") {
  using namespace std::string_literals;
  struct Parts : nn::Module {  // small enough for a pickle by hand
    void visit(nn::Visitor& v) override {
      v.buffer("backbone.in_norm_mean", mean);
      v.child("backbone.body.conv1", conv);
      v.child("heads.gvd.heads.0.logits.2", classes);
    }
    Random random{1};
    Tensor mean = Tensor::zeros({3});
    nn::Conv2d conv{{.in = 3, .out = 2, .kernel = 2, .bias = false}, random};
    nn::Linear classes{4, 5, random};
  };
  const std::string weights = dict({{"backbone.in_norm_mean", array({3}, 2)},
                                    {"backbone.body.conv1.weight", array({2, 3, 2, 2}, 3)},
                                    {"heads.gvd.heads.0.logits.2.weight", array({5, 4}, 4)},
                                    {"heads.gvd.heads.0.logits.2.bias", array({5}, 5)}});
  const std::string moments = dict({{"state", dict({{"0", dict({{"exp_avg", array({2, 3, 2, 2}, 9)}})}})}});
  const std::string arguments =
      "cargparse\nNamespace\n)\x81"s + dict({{"dataset", "U\4coco"}, {"epochs", "K\x0c"}}) + "b";
  const std::string drops = "ccollections\nCounter\n}(K\x09K\1u\x85R";
  const test::TemporaryFolder folder;
  Parts model;
  const LoadedWeights loaded = load_weights(model,
                                            pickled(folder, dict({{"args", arguments},
                                                                  {"epoch", "K\x0c"},
                                                                  {"model", weights},
                                                                  {"optimizer", moments},
                                                                  {"scheduler", dict({{"milestones", drops}})}})),
                                            nn::Strictness::kExact);
  CHECK(loaded.names.str() == "names of the model itself, without model., all outside of model. passed over");
  CHECK(model.mean.span<float>()[2] == 2);
  CHECK(model.conv.weight.value().span<float>()[0] == 3);
  CHECK(model.classes.bias.value().span<float>()[4] == 5);
}

TEST_CASE("weights: torchvision's ResNet goes under the body of FQDet's backbone, and export writes FQDet's names") {
  const test::TemporaryFolder folder;
  Random random(7);
  ResNet net({.kind = BackboneKind::kTiny, .names = BackboneNames::kTorchvision}, random, {2, 3, 4, 5});
  std::vector<NamedTensor> theirs = reference_tensors(net);
  theirs.push_back({"fc.weight", Tensor::zeros({10, 128})});
  theirs.push_back({"bn1.num_batches_tracked", Tensor::zeros({}, DType::kI64)});
  save_safetensors(folder / "resnet.safetensors", theirs);
  Detector detector(1);
  const LoadedWeights loaded = load_initial_weights(detector, from_file(folder / "resnet.safetensors")).loaded;
  CHECK(loaded.names.str() == "names of the model itself, backbone.body. put before them");
  CHECK(loaded.report.loaded.size() == nn::state(net).size());
  CHECK(loaded.report.unexpected == std::vector<std::string>{"backbone.body.fc.weight"});

  std::map<std::string, Tensor> exported;
  for (const NamedTensor& entry : reference_tensors(detector)) exported.emplace(entry.name, entry.tensor);
  CHECK(exported.contains("backbone.in_norm_std"));
  CHECK(exported.contains("backbone.body.layer2.0.downsample.1.running_var"));
  CHECK(exported.at("core.body.lateral_convs.0.conv.weight").shape() == Shape{2, 3, 2, 2});
  for (const NamedTensor& entry : reference_tensors(net))
    CHECK(std::memcmp(exported.at("backbone.body." + entry.name).raw(), entry.tensor.raw(), entry.tensor.bytes()) == 0);
}
