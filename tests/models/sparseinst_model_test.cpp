// The network as a whole: parameters, names, gradients, batches of every kind.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/pointwise.h"
#include "tests/models/tiny_sparseinst.h"
#include "tests/support/check_error.h"

using namespace tessera;
using namespace tessera::sparseinst;

namespace {

Var total(const Losses& losses) {
  const std::vector<LossTerm>& terms = losses.terms;
  Var sum = terms[0].value;
  for (size_t i = 1; i < terms.size(); ++i) sum = sum + terms[i].value;
  return sum;
}

bool has_value(const Tensor& gradient) {
  return std::ranges::any_of(gradient.span<float>(), [](float g) { return g != 0; });
}

bool is_finite(const Tensor& gradient) {
  return std::ranges::all_of(gradient.span<float>(), [](float g) { return std::isfinite(g); });
}

std::vector<std::pair<std::string, Config>> variants() {
  std::vector<std::pair<std::string, Config>> list;
  const auto add = [&](const std::string& name, auto&& change) {
    Config config = test::tiny_config();
    change(config);
    list.emplace_back(name, config);
  };
  add("groups", [](auto&) {});
  add("base", [](auto& c) { c.iam.groups = 1; });
  add("soft", [](auto& c) { c.iam.activation = IamActivation::kSoftmax; });
  add("no fc", [](auto& c) { c.iam.fc = false; });
  add("1x1", [](auto& c) { c.iam.kernel = IamKernel::k1x1; });
  add("3x3-3x3", [](auto& c) { c.iam.kernel = IamKernel::kTwo3x3; });
  add("cross attention", [](auto& c) { c.iam.cross_attention = true; });
  add("dconv v2", [](auto& c) { c.decoder.dconv = nn::Deform::kV2; });
  add("dconv v1", [](auto& c) { c.decoder.dconv = nn::Deform::kV1; });
  add("no coords", [](auto& c) { c.decoder.coords = false; });
  add("no ppm", [](auto& c) { c.encoder.ppm = false; });
  add("no fusion", [](auto& c) { c.encoder.fusion = false; });
  add("dice", [](auto& c) { c.loss.mask = MaskLoss::kDice; });
  add("bce", [](auto& c) { c.loss.mask = MaskLoss::kBce; });
  add("dice+focal", [](auto& c) { c.loss.mask = MaskLoss::kDiceFocal; });
  add("no objectness", [](auto& c) { c.loss.objectness = ObjectnessLoss::kNone; });
  add("objectness l1", [](auto& c) { c.loss.objectness = ObjectnessLoss::kL1; });
  add("scale 4", [](auto& c) { c.scale_factor = 4; });
  add("deformable backbone", [](auto& c) { c.backbone.deform = nn::Deform::kV2; });
  add("MobileNetV2", [](auto& c) {
    c.backbone.kind = BackboneKind::kMobileNetV2;
    c.backbone.width = 0.35;
    c.backbone.same_padding = true;
  });
  add("ResNet-18-D", [](auto& c) {
    c.backbone.kind = BackboneKind::kResNet18;
    c.backbone.deep_stem = true;
    c.backbone.norm = nn::Norm::kFrozenBatch;
  });
  return list;
}

}  // namespace

TEST_CASE("sparseinst: parameters, their names and their order are those of the authors' models") {
  using enum BackboneKind;
  using enum IamActivation;
  std::vector<std::string> names;  // of the model built last
  const auto parameters = [&](BackboneKind kind, bool deep_stem, bool deformable, i64 groups,
                              IamActivation activation) {
    Config config;
    config.backbone.kind = kind;
    config.backbone.deep_stem = deep_stem;
    config.backbone.deform = deformable ? nn::Deform::kV1 : nn::Deform::kNone;
    config.iam.groups = groups;
    config.iam.activation = activation;
    Random random(1);
    SparseInst model(config, random);
    names.clear();
    for (const nn::StateEntry& entry : nn::state(model)) names.push_back(entry.name);
    return nn::count_parameters(model);
  };
  // These entries follow each other, perhaps with others in between.
  const auto check_order = [&](const std::vector<std::string>& expected) {
    auto from = names.begin();
    for (const std::string& name : expected) {
      CAPTURE(name);
      from = std::find(from, names.end(), name);
      REQUIRE(from != names.end());
    }
  };

  CHECK(parameters(kResNet50, false, false, 1, kSigmoid) == 31'584'373);
  CHECK(names.size() == 315);
  CHECK(std::ranges::find(names, "decoder.inst_branch.fc.weight") == names.end());

  CHECK(parameters(kResNet50, false, false, 4, kSigmoid) == 32'794'785);
  CHECK(names.size() == 317);
  CHECK(names.front() == "backbone.stem.conv1.weight");
  CHECK(names.back() == "decoder.mask_branch.projection.bias");
  check_order({"backbone.stem.conv1.norm.weight",
               "backbone.stem.conv1.norm.bias",
               "backbone.stem.conv1.norm.running_mean",
               "backbone.stem.conv1.norm.running_var",
               "backbone.res2.0.shortcut.weight",
               "backbone.res2.0.shortcut.norm.running_var",
               "backbone.res2.0.conv1.weight",
               "backbone.res2.0.conv2.weight",
               "backbone.res2.0.conv3.norm.running_var",
               "backbone.res2.1.conv1.weight",
               "backbone.res5.2.conv3.weight",
               "encoder.fpn_laterals.0.weight",
               "encoder.fpn_laterals.0.bias",
               "encoder.fpn_laterals.2.bias",
               "encoder.fpn_outputs.0.weight",
               "encoder.ppm.stages.0.1.weight",
               "encoder.ppm.stages.3.1.bias",
               "encoder.ppm.bottleneck.weight",
               "encoder.fusion.weight",
               "decoder.inst_branch.inst_convs.0.weight",
               "decoder.inst_branch.inst_convs.6.bias",
               "decoder.inst_branch.iam_conv.weight",
               "decoder.inst_branch.fc.weight",
               "decoder.inst_branch.cls_score.weight",
               "decoder.inst_branch.mask_kernel.weight",
               "decoder.inst_branch.objectness.weight",
               "decoder.mask_branch.mask_convs.0.weight",
               "decoder.mask_branch.mask_convs.6.weight",
               "decoder.mask_branch.projection.weight"});

  CHECK(parameters(kResNet50, false, false, 4, kSoftmax) == 32'794'786);
  CHECK(names.size() == 318);
  check_order({"encoder.fusion.bias", "decoder.inst_branch.softmax_bias", "decoder.inst_branch.inst_convs.0.weight"});

  CHECK(parameters(kResNet50, false, true, 4, kSigmoid) == 33'292'611);
  CHECK(names.size() == 335);
  check_order({"backbone.res4.0.conv1.norm.running_var", "backbone.res4.0.conv2_offset.weight",
               "backbone.res4.0.conv2_offset.bias", "backbone.res4.0.conv2.weight"});

  CHECK(parameters(kResNet50, true, false, 4, kSigmoid) == 32'813'889);
  CHECK(names.size() == 327);
  CHECK(parameters(kResNet50, true, true, 4, kSigmoid) == 33'311'715);
  CHECK(names.size() == 345);
  check_order({"backbone.conv1.0.weight", "backbone.conv1.1.weight", "backbone.conv1.3.weight",
               "backbone.conv1.4.weight", "backbone.conv1.6.weight", "backbone.bn1.weight",
               "backbone.layer1.0.conv1.weight", "backbone.layer1.0.bn1.weight", "backbone.layer1.0.bn3.running_var",
               "backbone.layer1.0.downsample.1.weight", "backbone.layer1.0.downsample.2.weight",
               "backbone.layer3.0.conv2_offset.weight", "backbone.layer3.0.conv2.weight",
               "backbone.layer3.0.bn2.weight"});

  CHECK(parameters(kResNet101, false, false, 4, kSigmoid) == 51'734'689);
  CHECK(parameters(kResNet101, false, true, 4, kSigmoid) == 52'937'845);
}

TEST_CASE("sparseinst: every parameter of every variant receives a finite gradient that is not zero") {
  const Batch batch = test::rectangles({3, 2});
  for (const auto& [name, config] : variants()) {
    CAPTURE(name);
    const std::unique_ptr<SparseInst> model = test::tiny_model(config);
    total(model->losses(batch, {})).backward();
    for (const auto& [parameter_name, parameter] : nn::named_parameters(*model)) {
      CAPTURE(parameter_name);
      // The same for all pixels, and softmax does not see what is the same for all.
      const bool invisible =
          parameter_name.ends_with("softmax_bias") || parameter_name.ends_with("key.bias") ||
          (config.iam.activation == IamActivation::kSoftmax && parameter_name.ends_with("iam_conv.bias"));
      REQUIRE(parameter->grad().defined());
      CHECK(is_finite(parameter->grad()));
      if (!invisible) CHECK(has_value(parameter->grad()));
    }
  }
}

TEST_CASE("sparseinst: the same seed gives the same weights, another seed others") {
  const auto first_weight = [](u64 seed) {
    const auto model = make_model(test::tiny_config(), seed);
    return nn::state_dict(*model)[0].tensor.data<float>()[0];
  };
  CHECK(first_weight(1) == first_weight(1));
  CHECK(first_weight(1) != first_weight(2));
}

TEST_CASE("sparseinst: a batch without any object trains the classes alone") {
  const std::unique_ptr<SparseInst> model = test::tiny_model();
  const Losses losses = model->losses(test::rectangles({0, 0}), {});
  const std::vector<LossTerm>& terms = losses.terms;
  REQUIRE(terms.size() == 4);
  CHECK(terms[0].name == "loss_ce");
  CHECK(terms[0].value.value().item() > 0);
  for (size_t i = 1; i < 4; ++i) CHECK(terms[i].value.value().item() == 0);
  total(losses).backward();
  for (const auto& [name, parameter] : nn::named_parameters(*model)) {
    CAPTURE(name);
    REQUIRE(parameter->grad().defined());
    CHECK(is_finite(parameter->grad()));
    if (name.find("mask_") != std::string::npos || name.find("objectness") != std::string::npos)
      CHECK(!has_value(parameter->grad()));
  }
}

TEST_CASE("sparseinst: an empty picture beside a crowded one, with more objects than queries") {
  const std::unique_ptr<SparseInst> model = test::tiny_model();
  const Batch batch = test::rectangles({0, 9, 2});
  CHECK(model->normalisers(batch) == std::vector<double>{11, 8});  // of nine objects the six queries take six
  const Losses losses = model->losses(batch, {});
  for (const LossTerm& term : losses.terms) {
    CAPTURE(term.name);
    CHECK(std::isfinite(term.value.value().item()));
    CHECK(term.value.value().item() > 0);
  }
}

TEST_CASE("sparseinst: a few steps of gradient descent on one batch lower the loss") {
  const std::unique_ptr<SparseInst> model = test::tiny_model();
  const Batch batch = test::rectangles({2, 1});
  double first = 0, last = 0;
  for (int step = 0; step < 15; ++step) {
    model->zero_grad();
    const Var loss = total(model->losses(batch, {}));
    last = loss.value().item();
    if (step == 0) first = last;
    loss.backward();
    test::descend(*model);
  }
  CHECK(last < 0.9 * first);
}

TEST_CASE("sparseinst: detection answers for every picture in its own size") {
  const std::unique_ptr<SparseInst> model = test::tiny_model();
  model->eval();
  Batch batch = test::rectangles({1, 2});
  batch.samples[1].original = {90, 120};
  const auto found = model->detect(batch);
  REQUIRE(found.size() == 2);
  REQUIRE(found[1].size() == 6);  // untrained scores lie above the threshold of 0.005
  for (const Instance& instance : found[1]) {
    check_rle(instance.mask);
    CHECK(instance.mask.height == 90);
    CHECK(instance.mask.width == 120);
    CHECK(instance.class_index >= 0);
    CHECK(instance.class_index < 3);
  }
}

TEST_CASE("sparseinst: scores that are not finite are an error, not a picture without objects") {
  const auto model = test::tiny_model();
  model->eval();
  nn::named_parameters(*model)[0].second->value().span<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_ERROR(model->detect(test::rectangles({1})), "detect: scores are not finite");
}

TEST_CASE("sparseinst: wrong sizes and settings are errors") {
  const std::unique_ptr<SparseInst> model = test::tiny_model();
  CHECK_ERROR(model->forward(Var(Tensor::zeros({1, 60, 64, 3}))), "multiples of 32");
  CHECK_ERROR(model->forward(Var(Tensor::zeros({1, 64, 64, 4}))), "[N, H, W, 3]");
  Config config = test::tiny_config();
  config.iam.groups = 3;
  CHECK_ERROR(test::tiny_model(config), "iam.groups must divide");
  config = test::tiny_config();
  config.backbone.freeze_at = 6;
  CHECK_ERROR(test::tiny_model(config), "freeze_at");
  config = test::tiny_config();
  config.num_masks = 0;
  CHECK_ERROR(test::tiny_model(config), "num_masks");
  config = test::tiny_config();
  config.num_classes = 2;
  CHECK_ERROR(test::tiny_model(config)->losses(test::rectangles({3}), {}), "class 2, the model has 2");
}
