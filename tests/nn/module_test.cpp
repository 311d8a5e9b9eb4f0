// What follows from a module's one list: names, modes, counting, loading.
#include <doctest/doctest.h>

#include "nn/conv_norm.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

struct Block : nn::Module {
  nn::Conv2d conv;
  nn::Linear fc;
  nn::FrozenBatchNorm norm;
  explicit Block(u64 seed = 1) {
    Random random(seed);
    conv = nn::Conv2d({.in = 2, .out = 3, .kernel = 2, .bias = false}, random);
    fc = nn::Linear(3, 2, random);
    norm = nn::FrozenBatchNorm(3);
  }
  void visit(nn::Visitor& v) override {
    v.child("conv", conv);
    v.child("norm", norm);
    v.child("fc", fc);
  }
};

Tensor counting(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  for (i64 i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(i);
  return t;
}

}  // namespace

TEST_CASE("module: state lists parameters and buffers by dotted names, absent ones are passed over") {
  Block block;
  std::vector<std::string> names;
  for (const nn::StateEntry& entry : nn::state(block)) names.push_back(entry.name);
  CHECK(names == std::vector<std::string>{"conv.weight", "norm.weight", "norm.bias", "norm.running_mean",
                                          "norm.running_var", "fc.weight", "fc.bias"});
  CHECK(nn::named_parameters(block).size() == 3);
  CHECK(nn::count_parameters(block) == 24 + 8);
  block.conv.weight.set_requires_grad(false);
  CHECK(nn::count_parameters(block, true) == 8);
}

TEST_CASE("module: a part that is absent is passed over, the parts of a child without a name stand among its owner's") {
  struct Part : nn::Module {
    nn::ConvNorm unit;
    Var scale{Tensor::zeros({1}), true};
    void visit(nn::Visitor& v) override {
      v.child("", unit);
      v.parameter("scale", scale);
    }
  };
  struct Branch : nn::Module {
    Part part;
    std::optional<nn::Linear> fc;
    void visit(nn::Visitor& v) override {
      v.child("fc", fc);
      v.child("", part);
    }
  };
  struct Head : nn::Module {
    Branch branch;
    void visit(nn::Visitor& v) override { v.child("branch", branch); }
  } head;
  Random random(1);
  head.branch.part.unit = nn::ConvNorm({.conv_name = "conv1", .norm_name = "bn1", .in = 2, .out = 3}, random);
  const auto names = [&] {
    std::vector<std::string> found;
    for (const nn::StateEntry& entry : nn::state(head)) found.push_back(entry.name);
    return found;
  };
  // A parameter of its own comes first, as in PyTorch.
  std::vector<std::string> expected{"branch.scale",    "branch.conv1.weight",     "branch.bn1.weight",
                                    "branch.bn1.bias", "branch.bn1.running_mean", "branch.bn1.running_var"};
  CHECK(names() == expected);
  head.branch.fc.emplace(1, 1, random);
  expected.insert(expected.begin() + 1, {"branch.fc.weight", "branch.fc.bias"});
  CHECK(names() == expected);
  head.eval();
  CHECK(!head.branch.part.unit.training());
}

TEST_CASE("module: a unit is fused in place of what it holds, and train(), to() and load_state() undo it") {
  struct Layer : nn::Module {
    bool fused = false;
    void visit(nn::Visitor&) override {}
    void fuse(const nn::InferenceOptions&) override { fused = true; }
    void unfuse() override { fused = false; }
  };
  struct Unit : nn::Module {
    Layer inner;
    bool fused = false;
    void visit(nn::Visitor& v) override { v.child("inner", inner); }
    void fuse(const nn::InferenceOptions&) override { fused = true; }
    void unfuse() override { fused = false; }
  };
  struct Net : nn::Module {
    Unit unit;
    Layer layer;
    void visit(nn::Visitor& v) override {
      v.child("", unit);
      v.child("layer", layer);
    }
  };
  struct Model : nn::Module {
    Net net;
    void visit(nn::Visitor& v) override { v.child("net", net); }
  } model;
  for (const auto& undo : std::vector<std::function<void()>>{
           [&] { model.train(); },
           [&] { model.to(Device()); },
           [&] { nn::load_state(model, {}, nn::Strictness::kExact, false); },
       }) {
    nn::fuse_for_inference(model);
    CHECK(!model.net.layer.training());
    CHECK(model.net.unit.fused);
    CHECK(!model.net.unit.inner.fused);
    CHECK(model.net.layer.fused);
    undo();
    CHECK(!model.net.unit.fused);
    CHECK(!model.net.layer.fused);
  }
}

TEST_CASE("module: train and eval reach every child") {
  Block block;
  CHECK(block.fc.training());
  block.eval();
  CHECK(!block.training());
  CHECK(!block.conv.training());
  CHECK(!block.norm.training());
  block.train();
  CHECK(block.fc.training());
}

TEST_CASE("module: two parameters of one name are an error") {
  struct Twice : nn::Module {
    Var a{Tensor::zeros({1}), true}, b{Tensor::zeros({1}), true};
    void visit(nn::Visitor& v) override {
      v.parameter("weight", a);
      v.parameter("weight", b);
    }
  } twice;
  CHECK_ERROR(nn::state(twice), "two parameters are called weight");
}

TEST_CASE("load_state: a state dict goes into another module, dtypes converted") {
  Block from(1), to(2);
  std::vector<NamedTensor> tensors = nn::state_dict(from);
  tensors[0].tensor = tensors[0].tensor.to(DType::kF64);
  const nn::LoadReport report = nn::load_state(to, tensors, nn::Strictness::kExact, false);
  CHECK(report.loaded.size() == 7);
  CHECK(std::ranges::equal(from.conv.weight.value().span<float>(), to.conv.weight.value().span<float>()));
  CHECK(to.conv.weight.value().dtype() == DType::kF32);
  CHECK(!to.conv.weight.value().same_memory(from.conv.weight.value()));
}

TEST_CASE("load_state: reference tensors are transposed by the rule of their layer") {
  Block block;
  std::vector<NamedTensor> tensors = nn::state_dict(block);
  tensors[0].tensor = counting({3, 2, 2, 2});  // O, I, Kh, Kw
  tensors[5].tensor = counting({2, 3});        // linear: as it is
  nn::load_state(block, tensors, nn::Strictness::kExact, true);
  // ours [o, y, x, i] = theirs [o, i, y, x]
  CHECK(block.conv.weight.value().data<float>()[1] == 4);  // o 0, y 0, x 0, i 1
  CHECK(block.conv.weight.value().data<float>()[2] == 1);  // o 0, y 0, x 1, i 0
  CHECK(block.fc.weight.value().data<float>()[1] == 1);
  const Tensor back = nn::to_theirs(block.conv.weight.value(), nn::Layout::kConvOIHW);
  CHECK(std::ranges::equal(back.span<float>(), tensors[0].tensor.span<float>()));
}

TEST_CASE("load_state: the weight of a transposed convolution goes over and back exactly") {
  Random random(1);
  nn::ConvTranspose2d layer({.in = 3, .out = 4, .kernel = 2, .stride = 2, .groups = 1}, random);
  std::vector<NamedTensor> tensors = nn::state_dict(layer);
  tensors[0].tensor = counting({3, 4, 2, 2});  // I, O, Kh, Kw
  nn::load_state(layer, tensors, nn::Strictness::kExact, true);
  // ours [i, y, x, o] = theirs [i, o, y, x]
  CHECK(layer.weight.shape() == Shape{3, 2, 2, 4});
  CHECK(layer.weight.value().data<float>()[1] == 4);    // i 0, y 0, x 0, o 1
  CHECK(layer.weight.value().data<float>()[4] == 1);    // i 0, y 0, x 1, o 0
  CHECK(layer.weight.value().data<float>()[16] == 16);  // i 1
  const nn::StateEntry weight = nn::state(layer)[0];
  CHECK(weight.layout == nn::Layout::kConvTransposeIOHW);
  const Tensor back = nn::to_theirs(weight.tensor, weight.layout);
  CHECK(back.shape() == tensors[0].tensor.shape());
  CHECK(std::ranges::equal(back.span<float>(), tensors[0].tensor.span<float>()));
}

TEST_CASE("load_state: everything that does not fit is listed at once, and nothing is changed") {
  Block block;
  const float before = block.fc.weight.value().data<float>()[0];
  std::vector<NamedTensor> tensors = nn::state_dict(block);
  tensors[5].tensor = Tensor::full({2, 3}, 9);  // fits, but may not be written
  tensors[0].tensor = Tensor::zeros({3, 2, 2, 5});
  tensors.erase(tensors.begin() + 2, tensors.begin() + 4);  // norm.bias, norm.running_mean
  tensors.push_back({"head.weight", Tensor::zeros({1})});
  std::string message;
  try {
    nn::load_state(block, tensors, nn::Strictness::kExact, false);
  } catch (const Error& error) {
    message = error.what();
  }
  for (const char* part : {"conv.weight: file [3, 2, 2, 5], model [3, 2, 2, 2]", "missing", "norm.bias",
                           "norm.running_mean", "not in the model", "head.weight"}) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
  CHECK(block.fc.weight.value().data<float>()[0] == before);

  const nn::LoadReport report = nn::load_state(block, tensors, nn::Strictness::kMatching, false);
  CHECK(report.loaded.size() == 4);
  CHECK(report.missing.size() == 2);
  CHECK(report.unexpected == std::vector<std::string>{"head.weight"});
  CHECK(report.mismatched.size() == 1);
  CHECK(block.fc.weight.value().data<float>()[0] == 9);
}

TEST_CASE("load_state: weights that are not finite are refused by name, and nothing is changed") {
  Block block;
  const float before = block.fc.weight.value().data<float>()[0];
  std::vector<NamedTensor> tensors = nn::state_dict(block);
  tensors[5].tensor = Tensor::full({2, 3}, 9);
  tensors[0].tensor = Tensor::full({3, 2, 2, 2}, 1e300, DType::kF64);  // an infinity in f32
  CHECK_ERROR(nn::load_state(block, tensors, nn::Strictness::kMatching, false),
              "not all values are finite in conv.weight");
  CHECK(block.fc.weight.value().data<float>()[0] == before);
}

TEST_CASE("load_state: names can be translated or skipped") {
  Block block;
  std::vector<NamedTensor> tensors = nn::state_dict(block);
  for (NamedTensor& entry : tensors) entry.name = "old." + entry.name;
  tensors.push_back({"old.num_batches_tracked", Tensor::zeros({1})});
  const auto rename = [](const std::string& name) {
    return name.ends_with("num_batches_tracked") ? "" : name.substr(4);
  };
  CHECK(nn::load_state(block, tensors, nn::Strictness::kExact, false, rename).loaded.size() == 7);
  CHECK_ERROR(nn::load_state(block, tensors, nn::Strictness::kExact, false, [](const std::string&) { return "x"; }),
              "two tensors of the file are called x");
}
