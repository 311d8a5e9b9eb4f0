// FASSST as a whole: parameters, names, work, gradients, batches of every kind.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nn/profile.h"
#include "tests/models/tiny_fassst.h"
#include "tests/support/check_error.h"

using namespace tessera;
using namespace tessera::fassst;

namespace {

struct Totals {
  i64 weights, multiply_adds;
};

// Weights and work of one picture whose cells all go through the mask tail.
Totals totals(Config config) {
  config.inference = {.score_threshold = 0};
  Random random(1);
  Fassst model(config, random);
  model.eval();
  const i64 H = config.input[0], W = config.input[1];
  Sample sample;
  sample.image = Tensor::zeros({H, W, 3}, DType::kU8);
  sample.original = {32, 32};
  const Batch batch = make_batch({sample});
  return {nn::count_parameters(model), nn::profile(model, [&] { model.detect(batch); }).front().work.multiply_adds};
}
i64 weights(const Config& config) {
  Random random(1);
  Fassst model(config, random);
  return nn::count_parameters(model);
}

Config cityscapes() {
  Config config;
  config.num_classes = 8;
  config.input = {768, 768};
  config.attention.grid = {7, 7};
  return config;
}

bool has_value(const Tensor& x) {
  return std::ranges::any_of(x.span<float>(), [](float v) { return v != 0; });
}
bool is_finite(const Tensor& x) {
  return std::ranges::all_of(x.span<float>(), [](float v) { return std::isfinite(v); });
}

}  // namespace

TEST_CASE("fassst: the design's weights and multiply-adds, at 416 on COCO's classes") {
  const Totals at = totals({});
  CHECK(at.weights == 9'212'982);
  CHECK(static_cast<double>(at.multiply_adds) / 1e9 == doctest::Approx(35.599).epsilon(2e-5));
}

TEST_CASE("fassst: the weights of every head depth, and of the network for Cityscapes") {
  for (const auto& [depth, count] :
       {std::pair<i64, i64>{3, 9'166'902}, {4, 9'176'118}, {6, 9'249'846}, {7, 9'323'574}, {8, 9'507'894}}) {
    CAPTURE(depth);
    Config config;
    config.head_depth = depth;
    CHECK(weights(config) == count);
  }
  CHECK(weights(cityscapes()) == 10'521'582);
  Config wide = cityscapes();
  wide.input = {512, 1024};
  wide.attention.grid = {5, 10};
  CHECK(weights(wide) == 9'735'150);
}

TEST_CASE("fassst: the weights of other attention modules, of ResNet-50 and of design B") {
  Config seven, eleven, resnet, b;
  seven.attention.widths = {128, 256, 384, 384, 128, 256};
  eleven.attention.widths = {128, 192, 256, 256, 384, 448, 448, 384, 128, 256};
  CHECK(weights(seven) - weights({}) == -2139392);
  CHECK(weights(eleven) - weights({}) == 2397568);
  resnet.backbone = {.kind = BackboneKind::kResNet50, .norm = nn::Norm::kBatch};
  resnet.head_depth = 4;
  CHECK(weights(resnet) == 32'516'982);
  b.attention.widths = {128, 192, 224, 256, 384, 256, 192, 320};
  b.mask = {.channels = 224, .first_stride = 4};
  CHECK(static_cast<double>(weights(b)) * 4 / (1 << 20) == doctest::Approx(36.36).epsilon(2e-4));
}

TEST_CASE("fassst: parameters have the design's names") {
  Random random(1);
  Config config;
  config.mask.group_norm = true;
  Fassst model(config, random);
  std::vector<std::string> names;
  for (const nn::StateEntry& entry : nn::state(model)) names.push_back(entry.name);
  for (const char* name :
       {"backbone.features.0.0.weight", "backbone.features.17.conv.3.running_var", "pyramid.lateral.2.weight",
        "pyramid.output.0.bias", "iam.1.conv.weight", "iam.7.conv.weight", "iam.7.bn.weight", "iam.8.bn.running_mean",
        "iam.9.weight", "iam.9.bias", "tail.convs.4.weight", "tail.norms.4.weight", "tail.deconv.weight"}) {
    CAPTURE(name);
    CHECK(std::ranges::find(names, name) != names.end());
  }
}

TEST_CASE("fassst: every parameter of every variant receives a finite gradient that is not zero") {
  std::vector<Config> variants = {test::tiny_fassst_config(), test::tiny_literal_config()};
  variants.push_back(test::tiny_fassst_config());
  variants.back().mask = {.channels = 32, .first_stride = 8, .side = 8, .depth = 1, .group_norm = true};
  variants.back().loss.side_weight = 1;
  variants.back().attention.grid = {3, 5};
  variants.push_back(test::tiny_fassst_config());
  variants.back().backbone = {.kind = BackboneKind::kMobileNetV2, .norm = nn::Norm::kFrozenStatistics};
  for (const Config& config : variants) {
    const auto model = test::tiny_fassst(config);
    const Losses losses = model->losses(test::rectangles({3, 2}), {});
    losses.total().backward();
    for (const auto& [name, parameter] : nn::named_parameters(*model)) {
      CAPTURE(name);
      REQUIRE(parameter->grad().defined());
      CHECK(is_finite(parameter->grad()));
      CHECK(has_value(parameter->grad()));
    }
  }
}

TEST_CASE(
    "fassst: frozen statistics of the backbone stay as they are, with scale and shift in training; live ones follow") {
  for (const nn::Norm norm : {nn::Norm::kFrozenStatistics, nn::Norm::kBatch}) {
    Config config = test::tiny_fassst_config();
    config.backbone.norm = norm;
    const auto model = test::tiny_fassst(config);
    model->losses(test::rectangles({2}), {}).total().backward();
    for (const nn::StateEntry& entry : nn::state(*model)) {
      if (!entry.name.starts_with("backbone.bn1.")) continue;
      CAPTURE(entry.name);
      if (entry.parameter) CHECK(has_value(entry.parameter->grad()));
      if (entry.name.ends_with("running_mean")) CHECK(has_value(entry.tensor) == (norm == nn::Norm::kBatch));
    }
    CHECK(nn::count_parameters(*model, true) == nn::count_parameters(*model));
  }
}

TEST_CASE("fassst: without fusion the coarse levels are not looked at") {
  Config config = test::tiny_fassst_config();
  config.mask.fusion = false;
  const auto model = test::tiny_fassst(config);
  model->losses(test::rectangles({2}), {}).total().backward();
  for (const auto& [name, parameter] : nn::named_parameters(*model))
    if (name.starts_with("pyramid.output.")) CHECK(parameter->grad().defined() == name.starts_with("pyramid.output.0"));
}

TEST_CASE("fassst: pictures without objects train the objectness alone; nothing is left out") {
  for (const Config& config : {test::tiny_fassst_config(), test::tiny_literal_config()}) {
    const auto model = test::tiny_fassst(config);
    const Batch batch = test::rectangles({0, 0});
    const Losses losses = model->losses(batch, {.epoch = 2});
    for (const LossTerm& term : losses.terms) {
      CAPTURE(term.name);
      CHECK((term.value.value().item() > 0) == (term.name == "loss_object"));
    }
    losses.total().backward();
    for (const auto& [name, parameter] : nn::named_parameters(*model))
      if (name.starts_with("tail.")) CHECK(!has_value(parameter->grad()));
    CHECK(model->normalisers(batch) == std::vector<double>{0, 0});
    CHECK(model->passed_over().empty());
  }
}

TEST_CASE("fassst: objects that no cell takes are counted, and the others learned") {
  Config config = test::tiny_fassst_config();
  config.attention.grid = {2, 2};
  const auto model = test::tiny_fassst(config);
  const Batch batch = test::rectangles({0, 9, 1});
  for (int pass : {1, 2}) {
    const Losses losses = model->losses(batch, {.step = pass});
    for (const LossTerm& term : losses.terms) CHECK(std::isfinite(term.value.value().item()));
  }
  CHECK(model->normalisers(batch) == std::vector<double>{5, 5});
  CHECK(model->passed_over().starts_with("10 of 20 objects were not learned: no cell of the 2 x 2 grid"));
}

TEST_CASE("fassst: of many objects in a picture the masks of some are learned, a draw of the step") {
  Config config = test::tiny_fassst_config();
  config.loss.max_rois = 2;
  const auto loss = [&](i64 step) {
    return test::tiny_fassst(config)->losses(test::rectangles({7}), {.step = step}).terms.back().value.value().item();
  };
  CHECK(loss(1) == loss(1));
  CHECK(loss(1) != loss(2));
}

TEST_CASE("fassst: the same seed gives the same losses and gradients, another seed others") {
  const Batch batch = test::rectangles({2, 1});
  const auto run = [&](u64 seed) {
    return test::loss_and_gradients(*make_model(test::tiny_fassst_config(), seed), batch);
  };
  const std::vector<float> first = run(1);
  CHECK(first == run(1));
  CHECK(first != run(2));
}

TEST_CASE("fassst: a few steps of gradient descent on one batch lower the loss") {
  for (const Config& config : {test::tiny_fassst_config(), test::tiny_literal_config()})
    CHECK(test::loss_left_after_descent(*test::tiny_fassst(config)) < 0.85);
}

TEST_CASE("fassst: detection answers for every picture in its own size") {
  Config config = test::tiny_fassst_config();
  config.inference = {.score_threshold = 0, .detections = 7};
  const auto model = test::tiny_fassst(config);
  CHECK(model->object_limit()->objects == 7);
  model->eval();
  Batch batch = test::rectangles({1, 2});
  batch.samples[1].original = {90, 120};
  const Detections found = model->detect(batch);
  REQUIRE(found.size() == 2);
  for (const auto& [image, size] : {std::pair<size_t, ImageSize>{0, {64, 64}}, {1, {90, 120}}}) {
    CHECK(!found[image].empty());
    CHECK(found[image].size() <= 7);
    for (const Instance& instance : found[image]) {
      CHECK(ImageSize{instance.mask.height, instance.mask.width} == size);
      CHECK(instance.class_index < 3);
      CHECK(instance.query < 16);
      CHECK(instance.score > model->score_threshold());  // `predict` reports what evaluation judges
      CHECK(instance.box[0] >= 0);
      CHECK(instance.box[0] + instance.box[2] <= static_cast<double>(size.width) + 1e-4);
      CHECK(instance.box[1] + instance.box[3] <= static_cast<double>(size.height) + 1e-4);
    }
    CHECK(std::ranges::is_sorted(found[image], std::ranges::greater(), &Instance::score));
  }
  config.inference.score_threshold = 1;
  const auto silent = test::tiny_fassst(config);
  silent->eval();
  for (size_t image : {0, 1}) CHECK(silent->detect(batch).at(image).empty());
}

TEST_CASE("fassst: scores that are not finite are an error, not a picture without objects") {
  const auto model = test::tiny_fassst(test::tiny_fassst_config());
  model->eval();
  nn::named_parameters(*model)[0].second->value().span<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_ERROR(model->detect(test::rectangles({1})), "detect: scores are not finite");
}

TEST_CASE("fassst: an input of another size than the network is built for has the same grid") {
  Config config = test::tiny_fassst_config();
  for (const std::array<i64, 2> input : {std::array<i64, 2>{64, 64}, {96, 64}, {128, 192}}) {
    config.input = input;
    const auto model = test::tiny_fassst(config);
    CHECK(model->forward(Var(Tensor::zeros({2, 64, 64, 3}))).raw.shape() == Shape{2, 4, 4, 8});
    CHECK(std::isfinite(model->losses(test::rectangles({1}), {}).total().value().item()));
  }
}

TEST_CASE("fassst: what cannot be built or run is an error that says so") {
  const auto error = [](auto&& change, const std::string& message) {
    Config config = test::tiny_fassst_config();
    change(config);
    CHECK_ERROR(test::tiny_fassst(config)->losses(test::rectangles({1}), {}), message);
  };
  error([](Config& c) { c.loss.boxes = BoxLoss::kFocal; }, "set attention.boxes = \"edges\"");
  error([](Config& c) { c.attention.boxes = BoxForm::kEdges; }, "set loss.boxes = \"focal\"");
  error([](Config& c) { c.head_depth = 6; }, "must ascend from 1 to 5, got 2, 3, 4, 5, 6");
  error([](Config& c) { c.attention.widths = {8, 8, 8, 8}; }, "attention.widths needs 5 channels or more, got 4");
  error([](Config& c) { c.num_classes = 0; }, "num_classes must be at least 1");
}
