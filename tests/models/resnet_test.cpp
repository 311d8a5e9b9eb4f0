#include "models/backbones/resnet.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/reduce.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

Tensor random_images(i64 N, i64 H, i64 W) {
  Tensor images = Tensor::empty({N, H, W, 3});
  Random(11).fill_normal(images, 0, 1);
  return images;
}

ResNet make(const BackboneConfig& config) {
  Random random(2);
  return ResNet(config, random);
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
