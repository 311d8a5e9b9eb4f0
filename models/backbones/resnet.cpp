#include "models/backbones/resnet.h"

#include <algorithm>

#include "autograd/pointwise.h"
#include "autograd/pool.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"

namespace tessera {

namespace {

// The members of the family: what differs between them.
struct Family {
  std::array<i64, 4> blocks;    // of res2 .. res5
  std::array<i64, 4> channels;  // outputs of res2 .. res5
  bool bottleneck;              // the inner width is a quarter of the output's
  i64 stem;                     // channels after the stem
  bool stem_pool;               // the stem ends with a max-pool, else res2 has stride 2
};

Family family_of(BackboneKind kind) {
  switch (kind) {
    case BackboneKind::kTiny:
      return {{1, 1, 1, 1}, {32, 64, 96, 128}, false, 16, false};
    case BackboneKind::kResNet18:
      return {{2, 2, 2, 2}, {64, 128, 256, 512}, false, 64, true};
    case BackboneKind::kResNet34:
      return {{3, 4, 6, 3}, {64, 128, 256, 512}, false, 64, true};
    case BackboneKind::kResNet50:
      return {{3, 4, 6, 3}, {256, 512, 1024, 2048}, true, 64, true};
    case BackboneKind::kResNet101:
      return {{3, 4, 23, 3}, {256, 512, 1024, 2048}, true, 64, true};
    default:
      break;
  }
  fail("resnet: the backbone's kind {} is none", static_cast<int>(kind));
}

bool torchvision_names(const BackboneConfig& config) {
  return config.deep_stem || config.names == BackboneNames::kTorchvision;
}

// In the published FLOPs. torchvision's frozen normalisation is a product and a sum, which the papers' counter passes
// by.
bool counted(const BackboneConfig& config, nn::Norm norm) {
  return config.names != BackboneNames::kTorchvision || norm != nn::Norm::kFrozenBatch;
}

}  // namespace

ResidualBlock::ResidualBlock(const Plan& p, const BackboneConfig& config, Random& random)
    : shortcut_first_(!torchvision_names(config)), pooled_shortcut_(config.deep_stem && p.stride > 1) {
  const bool torchvision = torchvision_names(config);
  const int first = config.deep_stem ? 1 : 0;  // of the parts of "downsample"; timm's 0 is the pooling
  if (p.in != p.out || p.stride != 1)
    shortcut_.emplace(
        nn::ConvNormConfig{.conv_name = torchvision ? fmt::format("downsample.{}", first) : "shortcut",
                           .norm_name = torchvision ? fmt::format("downsample.{}", first + 1) : "shortcut.norm",
                           .in = p.in,
                           .out = p.out,
                           .stride = pooled_shortcut_ ? 1 : p.stride,
                           .norm = p.norm,
                           .counted_norm = counted(config, p.norm),
                           .activation = ops::Activation::kNone},
        random);
  const auto unit = [&](int i, nn::ConvNormConfig c) {
    c.conv_name = fmt::format("conv{}", i);
    c.norm_name = torchvision ? fmt::format("bn{}", i) : c.conv_name + ".norm";
    c.norm = p.norm;
    c.counted_norm = counted(config, p.norm);
    return nn::ConvNorm(c, random);
  };
  if (p.bottleneck) {
    const i64 stride1 = config.stride_in_1x1 ? p.stride : 1, stride2 = config.stride_in_1x1 ? 1 : p.stride;
    conv1_ = unit(1, {.in = p.in, .out = p.mid, .stride = stride1});
    conv2_ = unit(2, {.in = p.mid, .out = p.mid, .kernel = 3, .stride = stride2, .deform = p.deform});
    conv3_ = unit(3, {.in = p.mid, .out = p.out});
  } else {
    conv1_ = unit(1, {.in = p.in, .out = p.out, .kernel = 3, .stride = p.stride});
    conv2_ = unit(2, {.in = p.out, .out = p.out, .kernel = 3, .deform = p.deform});
  }
  // ResNet-D starts every block as the identity. Where the norm is frozen that would last for ever: no gradient
  // would reach the block, so there the weight stays 1.
  nn::ConvNorm& last = conv3_ ? *conv3_ : conv2_;
  if (auto* norm = std::get_if<nn::BatchNorm2d>(&last.norm); norm && config.deep_stem)
    nn::init_constant(norm->weight, 0);
}

Var ResidualBlock::operator()(const Var& x) {
  const nn::Running running(*this);
  Var kept = x;
  if (pooled_shortcut_)  // means of 2x2, at odd edges of what is there
    kept = avg_pool2d(kept, {.kernel = 2, .stride = 2, .ceil_mode = true, .count_include_pad = false});
  if (shortcut_) kept = (*shortcut_)(kept);
  if (conv3_) return (*conv3_)(conv2_(conv1_(x)), kept);
  return conv2_(conv1_(x), kept);
}

void ResidualBlock::visit(nn::Visitor& v) {
  if (shortcut_first_) v.child("", shortcut_);
  v.child("", conv1_);
  v.child("", conv2_);
  v.child("", conv3_);
  if (!shortcut_first_) v.child("", shortcut_);
}

ResNet::ResNet(const BackboneConfig& config, Random& random, std::vector<i64> rows)
    : Backbone(config.kind, std::move(rows)), config_(config) {
  check_fields("resnet", config);
  const Family family = family_of(config.kind);
  // What is not trained cannot adapt to the batch's statistics either: its normalisation is frozen.
  const auto norm_of = [&](i64 stage) { return stage <= config.freeze_at ? nn::Norm::kFrozenBatch : config.norm; };

  const auto stem = [&](const char* conv, const char* norm, nn::ConvNormConfig c) {
    c.conv_name = conv;
    c.norm_name = norm;
    c.norm = norm_of(1);
    c.counted_norm = counted(config, c.norm);
    stem_.emplace_back(c, random);
  };
  const i64 half = family.stem / 2;
  if (config.deep_stem) {
    stem("conv1.0", "conv1.1", {.in = 3, .out = half, .kernel = 3, .stride = 2});
    stem("conv1.3", "conv1.4", {.in = half, .out = half, .kernel = 3});
    stem("conv1.6", "bn1", {.in = half, .out = family.stem, .kernel = 3});
  } else {
    const bool torchvision = torchvision_names(config);
    stem(torchvision ? "conv1" : "stem.conv1", torchvision ? "bn1" : "stem.conv1.norm",
         {.in = 3, .out = family.stem, .kernel = family.stem_pool ? 7 : 3, .stride = 2});
  }
  built(1, family.stem);
  i64 in = family.stem;
  for (i64 stage = 2; stage <= last_row(); ++stage) {
    const i64 out = family.channels[static_cast<size_t>(stage - 2)];
    const bool down = stage > 2 || !family.stem_pool;
    std::vector<ResidualBlock>& blocks = stages_.emplace_back();
    for (i64 b = 0; b < family.blocks[static_cast<size_t>(stage - 2)]; ++b) {
      blocks.emplace_back(
          ResidualBlock::Plan{.in = in,
                              .mid = out / 4,
                              .out = out,
                              .stride = down && b == 0 ? 2 : 1,
                              .bottleneck = family.bottleneck,
                              .norm = norm_of(stage),
                              .deform = stage >= config.deform_from ? config.deform : nn::Deform::kNone},
          config, random);
      in = out;
    }
    built(stage, out);
  }
  if (config.freeze_at >= 1)
    for (nn::ConvNorm& conv : stem_) conv.freeze();
  for (i64 stage = 2; stage <= std::min(config.freeze_at, last_row()); ++stage)
    for (ResidualBlock& block : stages_[static_cast<size_t>(stage - 2)]) block.freeze();
}

std::vector<Var> ResNet::forward(const Var& images, std::span<Random> /*random*/) {
  const nn::Running running(*this);
  std::vector<Var> outputs;
  Var x = images;                                // [N, H, W, 3]
  for (nn::ConvNorm& conv : stem_) x = conv(x);  // [N, H/2, W/2, 64]
  ran(1, x, outputs);
  if (family_of(config_.kind).stem_pool)
    x = max_pool2d(x, {.kernel = 3, .stride = 2, .padding = 1});  // [N, H/4, W/4, 64]
  nn::keep("stem", x);
  for (size_t s = 0; s < stages_.size(); ++s) {
    for (ResidualBlock& block : stages_[s]) x = block(x);
    ran(static_cast<i64>(s) + 2, x, outputs);
  }
  return outputs;
}

void ResNet::visit(nn::Visitor& v) {
  for (nn::ConvNorm& conv : stem_) v.child("", conv);
  for (size_t s = 0; s < stages_.size(); ++s)
    for (size_t b = 0; b < stages_[s].size(); ++b)
      v.child(torchvision_names(config_) ? fmt::format("layer{}.{}", s + 1, b) : fmt::format("res{}.{}", s + 2, b),
              stages_[s][b]);
}

}  // namespace tessera
