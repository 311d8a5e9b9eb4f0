#include "models/backbones/resnet.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "autograd/reduce.h"
#include "models/backbones/body_backbone.h"
#include "tests/goldens/fill.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

Tensor random_images(i64 N, i64 H, i64 W) {
  Tensor images = Tensor::empty({N, H, W, 3});
  Random(11).fill_normal(images, 0, 1);
  return images;
}

ResNet make(const BackboneConfig& config, const std::vector<i64>& rows = {}) {
  Random random(2);
  return ResNet(config, random, rows);
}

}  // namespace

TEST_CASE("resnet: the outputs have the channels and strides that levels() tells") {
  using enum BackboneKind;
  for (const BackboneKind kind : {kTiny, kResNet18, kResNet50})
    for (const bool deep_stem : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(deep_stem);
      ResNet net = make({.kind = kind, .deep_stem = deep_stem});
      const NoGrad no_grad;
      const std::vector<Var> outputs = net(Var(random_images(1, 64, 96)));
      REQUIRE(outputs.size() == 3);
      for (size_t i = 0; i < 3; ++i) {
        const auto [channels, stride] = net.levels()[i];
        CHECK(stride == i64{8} << i);
        CHECK(outputs[i].shape() == Shape{1, 64 / stride, 96 / stride, channels});
      }
    }
}

TEST_CASE("resnet: rows that were asked for, of images of any size, with the sizes of PyTorch") {
  using enum BackboneKind;
  const NoGrad no_grad;
  for (const BackboneKind kind : {kTiny, kResNet18, kResNet50})
    for (const bool deep_stem : {false, true})
      for (const std::vector<i64>& rows : {std::vector<i64>{1, 2, 3, 4, 5}, {2, 4}, {3}}) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(deep_stem);
        ResNet net = make({.kind = kind, .deep_stem = deep_stem}, rows);
        REQUIRE(net.levels().size() == rows.size());
        for (const auto& [H, W] : {std::pair<i64, i64>{33, 61}, {66, 31}}) {
          const std::vector<Var> outputs = net(Var(random_images(1, H, W)));
          REQUIRE(outputs.size() == rows.size());
          for (size_t i = 0; i < rows.size(); ++i) {
            const auto [channels, stride] = net.levels()[i];
            CHECK(stride == i64{1} << rows[i]);
            CHECK(outputs[i].shape() == Shape{1, (H + stride - 1) / stride, (W + stride - 1) / stride, channels});
          }
        }
        const std::string behind = fmt::format("{}{}.", deep_stem ? "layer" : "res", rows.back() + (deep_stem ? 0 : 1));
        for (const nn::StateEntry& entry : nn::state(net)) CHECK(!entry.name.starts_with(behind));
      }
  CHECK(rows_at(kResNet50, {4, 8, 16, 32}) == std::vector<i64>{2, 3, 4, 5});
  CHECK(rows_at(kMobileNetV2, {4, 8, 16, 32}) == std::vector<i64>{3, 4, 6, 9});
  CHECK_ERROR(make({}, {3, 6}), "the rows asked for must ascend from 1 to 5, got 3, 6");
}

TEST_CASE("resnet: the parts have detectron2's or torchvision's names") {
  const auto names = [](const BackboneConfig& config) {
    ResNet net = make(config);
    std::vector<std::string> found;
    for (const nn::StateEntry& entry : nn::state(net)) found.push_back(entry.name);
    return found;
  };
  const std::vector<std::string> theirs = names({.names = BackboneNames::kTorchvision});
  const std::vector<std::string> detectron2 = names({.names = BackboneNames::kDetectron2});
  CHECK(theirs.size() == detectron2.size());
  CHECK(theirs.size() == 53 * 5);
  // In torchvision's order, which has the shortcut behind the block's other layers.
  const std::vector<std::string> first(theirs.begin(), theirs.begin() + 6);
  CHECK(first == std::vector<std::string>{"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean",
                                          "bn1.running_var", "layer1.0.conv1.weight"});
  const auto at = [](const std::vector<std::string>& list, const std::string& name) {
    return std::ranges::find(list, name) - list.begin();
  };
  CHECK(at(theirs, "layer1.0.downsample.0.weight") == at(theirs, "layer1.0.bn3.running_var") + 1);
  CHECK(at(theirs, "layer1.0.downsample.1.weight") == at(theirs, "layer1.0.downsample.0.weight") + 1);
  CHECK(at(theirs, "layer4.2.bn3.running_var") == std::ssize(theirs) - 1);
  CHECK(at(detectron2, "res2.0.shortcut.norm.weight") < at(detectron2, "res2.0.conv1.weight"));
  CHECK(at(detectron2, "stem.conv1.norm.running_var") == 4);
}

// Parameters, image and results as shared with the golden file of FQDet's backbone: torchvision in f64, 67 x 101
// pixels.
TEST_CASE("resnet: torchvision's maps of an image with odd sides, and the weights that FQDet trains") {
  const std::string prefix = "gold.resnet50.";
  ResNet net = make({.names = BackboneNames::kTorchvision, .freeze_at = 2}, {2, 3, 4, 5});
  CHECK(nn::count_parameters(net, true) == 23'232'512);
  std::vector<NamedTensor> values;
  for (const nn::StateEntry& entry : nn::state(net)) {
    const Shape shape = nn::to_theirs(entry.tensor, entry.layout).shape();
    const bool positive = entry.name.ends_with("running_var") || entry.name.ends_with("weight");
    const double bound = shape.rank() == 4 ? std::sqrt(6 / static_cast<double>(shape.numel(1, 4))) : 0.1;
    const bool around_1 = positive && shape.rank() == 1;
    values.push_back(
        {entry.name, goldens::fill(prefix + entry.name, shape, around_1 ? 0.75 : -bound, around_1 ? 1.25 : bound)});
  }
  nn::load_state(net, values, nn::Strictness::kExact, true);
  const NoGrad no_grad;
  const Tensor image = nn::to_ours(goldens::fill(prefix + "image", {1, 3, 67, 101}), nn::Layout::kConvOIHW);
  const std::vector<Var> maps = net(Var(image));
  CHECK(maps[0].shape() == Shape{1, 17, 26, 256});
  CHECK(maps[1].shape() == Shape{1, 9, 13, 512});
  const auto check = [&](const Var& map, const Shape& shape, double largest, const std::array<double, 6>& want) {
    CHECK(map.shape() == shape);
    const Tensor theirs = nn::to_theirs(map.value(), nn::Layout::kConvOIHW);
    for (size_t j = 0; j < 6; ++j) {
      const double got = theirs.span<float>()[(2 * j + 1) * static_cast<size_t>(theirs.numel()) / 12];
      CHECK(std::abs(got - want[j]) < 1e-5 * largest);
    }
  };
  check(maps[2], {1, 5, 7, 1024}, 3091.6, {0, 0, 1024.86328, 800.752319, 437.735474, 421.930237});
  check(maps[3], {1, 3, 4, 2048}, 7120.8, {0, 202.391388, 393.52536, 1393.62598, 1796.50244, 922.661316});
}

TEST_CASE("resnet: parameters without the classifier are torchvision's") {
  const auto count = [](const BackboneConfig& config) {
    ResNet net = make(config);
    return nn::count_parameters(net);
  };
  // torchvision's totals less fc and less the norms' parameters, which are buffers here
  CHECK(count({.kind = BackboneKind::kResNet18}) == 11'689'512 - 513'000 - 9'600);
  CHECK(count({.kind = BackboneKind::kResNet18, .norm = nn::Norm::kBatch}) == 11'689'512 - 513'000);
  CHECK(count({.kind = BackboneKind::kResNet34, .norm = nn::Norm::kBatch}) == 21'797'672 - 513'000);
  CHECK(count({.kind = BackboneKind::kResNet50, .norm = nn::Norm::kBatch}) == 25'557'032 - 2'049'000);
}

TEST_CASE("resnet: deformable stages begin as ordinary ones") {
  // v1 with zero offsets samples the very pixels of the convolution
  const Tensor images = random_images(1, 64, 64);
  const NoGrad no_grad;
  ResNet plain = make({.kind = BackboneKind::kResNet18});
  ResNet deformable = make({.kind = BackboneKind::kResNet18, .deform = nn::Deform::kV1, .deform_from = 5});
  nn::load_state(deformable, nn::state_dict(plain), nn::Strictness::kMatching, false);
  const Tensor want = plain(Var(images))[2].value(), got = deformable(Var(images))[2].value();
  double worst = 0, largest = 0;
  for (i64 i = 0; i < want.numel(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(got.data<float>()[i]) - want.data<float>()[i]));
    largest = std::max(largest, std::abs(static_cast<double>(want.data<float>()[i])));
  }
  CHECK(worst < 1e-5 * largest);
}

TEST_CASE("resnet: frozen stages are not trained and their norms are frozen") {
  ResNet net = make({.kind = BackboneKind::kResNet18, .norm = nn::Norm::kBatch, .freeze_at = 2});
  for (const auto& [name, parameter] : nn::named_parameters(net)) {
    CAPTURE(name);
    const bool frozen = name.starts_with("stem.") || name.starts_with("res2.");
    CHECK(parameter->requires_grad() == !frozen);
    CHECK(!(frozen && name.find("norm") != std::string::npos));  // buffers, not parameters
  }
  sum(net(Var(random_images(2, 64, 64)))[2]).backward();
}

TEST_CASE("resnet: the stride of a stage can sit in the 1x1 or in the 3x3") {
  const Tensor images = random_images(1, 64, 64);
  const NoGrad no_grad;
  ResNet in_3x3 = make({.kind = BackboneKind::kResNet50});
  ResNet in_1x1 = make({.kind = BackboneKind::kResNet50, .stride_in_1x1 = true});
  const Var a = in_3x3(Var(images))[0], b = in_1x1(Var(images))[0];
  CHECK(a.shape() == b.shape());
  CHECK(!std::ranges::equal(a.value().span<float>(), b.value().span<float>()));
}

TEST_CASE("resnet: live norms use the batch in training and the running statistics in evaluation") {
  ResNet net = make({.kind = BackboneKind::kTiny, .norm = nn::Norm::kBatch});
  const NoGrad no_grad;
  const Tensor images = random_images(4, 64, 64);
  for (int i = 0; i < 80; ++i) net(Var(images));  // the running statistics come to those of these images
  const Tensor training = net(Var(images))[2].value();
  net.eval();
  const Tensor evaluation = net(Var(images))[2].value();
  double difference = 0, size = 0;
  for (i64 i = 0; i < training.numel(); ++i) {
    difference += std::abs(static_cast<double>(training.data<float>()[i]) - evaluation.data<float>()[i]);
    size += std::abs(static_cast<double>(training.data<float>()[i]));
  }
  CHECK(difference < 0.1 * size);  // biased against unbiased variance is what remains
  CHECK(difference > 0);
}

TEST_CASE("body backbone: torchvision's ResNet under body, and the statistics of its pixels") {
  Random random(1);
  BodyBackbone backbone({.names = BackboneNames::kTorchvision, .freeze_at = 2}, random, {2, 3, 4, 5});
  CHECK(nn::count_parameters(backbone, true) == 23'232'512);
  const std::vector<nn::StateEntry> state = nn::state(backbone);
  CHECK(state.size() == 2 + 53 * 5);
  CHECK(state[0].name == "in_norm_mean");
  CHECK(state[1].name == "in_norm_std");
  CHECK(state[2].name == "body.conv1.weight");
  CHECK(state[0].tensor.span<float>()[1] == doctest::Approx(0.456));
  CHECK(state[1].tensor.span<float>()[2] == doctest::Approx(0.225));
  CHECK(backbone.levels().front().stride == 4);
}
