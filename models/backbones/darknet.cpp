#include "models/backbones/darknet.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/profile.h"

namespace tessera {

namespace {

nn::ConvNormConfig unit_config(const std::string& name, nn::ConvNormConfig config) {
  config.conv_name = name + ".conv";
  config.norm_name = name + ".bn";
  config.activation = ops::Activation::kNone;
  return config;
}

}  // namespace

DarkUnit::DarkUnit(const std::string& name, nn::ConvNormConfig config, Random& random)
    : ConvNorm(unit_config(name, std::move(config)), random) {}

Var DarkUnit::operator()(const Var& x) {
  return leaky_relu(ConvNorm::operator()(x));
}

DarkBlock::DarkBlock(i64 channels, i64 inner, nn::Norm norm, Random& random)
    : first_("conv1", {.in = channels, .out = inner, .norm = norm}, random),
      second_("conv2", {.in = inner, .out = channels, .kernel = 3, .norm = norm}, random) {
  if (nn::BatchNorm2d* live = std::get_if<nn::BatchNorm2d>(&second_.norm)) nn::init_constant(live->weight, 0);
}

Var DarkBlock::operator()(const Var& x) {
  return x + second_(first_(x));
}

void DarkBlock::visit(nn::Visitor& v) {
  v.child("", first_);
  v.child("", second_);
}

DarkStage::DarkStage(const Plan& p, nn::Norm norm, Random& random)
    : down_("conv_down", {.in = p.in, .out = p.out, .kernel = 3, .stride = 2, .norm = norm}, random) {
  const i64 half = p.expanded / 2, width = p.partial ? half : p.out;
  if (p.partial) expand_.emplace("conv_exp", nn::ConvNormConfig{.in = p.out, .out = p.expanded, .norm = norm}, random);
  for (i64 b = 0; b < p.blocks; ++b) blocks_.emplace_back(width, p.inner, norm, random);
  if (!p.partial) return;
  after_blocks_.emplace("conv_transition_b", nn::ConvNormConfig{.in = half, .out = half, .norm = norm}, random);
  both_.emplace("conv_transition", nn::ConvNormConfig{.in = p.expanded, .out = p.out, .norm = norm}, random);
}

Var DarkStage::operator()(const Var& x) {
  const nn::Running running(*this);
  Var y = down_(x), skip;
  if (expand_) {
    const Var wide = (*expand_)(y);
    const i64 half = wide.dim(3) / 2;
    skip = slice(wide, 3, 0, half);
    y = slice(wide, 3, half, 2 * half);
  }
  for (DarkBlock& block : blocks_) y = block(y);
  return both_ ? (*both_)(concat({skip, (*after_blocks_)(y)}, 3)) : y;
}

void DarkStage::visit(nn::Visitor& v) {
  v.child("", down_);
  v.child("", expand_);
  for (size_t b = 0; b < blocks_.size(); ++b) v.child(fmt::format("blocks.{}", b), blocks_[b]);
  v.child("", after_blocks_);
  v.child("", both_);
}

DarkNet::DarkNet(const BackboneConfig& config, Random& random, std::vector<i64> rows)
    : Backbone(config.kind, std::move(rows)),
      stem_("stem.conv1", {.in = 3, .out = 32, .kernel = 3, .norm = config.norm}, random) {
  check_fields("darknet", config);
  const bool partial = config.kind == BackboneKind::kCspDarkNet53;
  i64 in = 32;
  for (const i64 blocks : {1, 2, 8, 8, 4}) {
    const i64 row = std::ssize(stages_) + 1, out = 2 * in;
    if (row > last_row()) return;
    // The first stage's halves are as wide as its result, the later ones' half as wide.
    const i64 expanded = partial && row == 1 ? 2 * out : out;
    const i64 inner = partial && row > 1 ? out / 2 : in;
    stages_.emplace_back(DarkStage::Plan{in, out, blocks, partial, expanded, inner}, config.norm, random);
    built(row, out);
    in = out;
  }
}

std::vector<Var> DarkNet::forward(const Var& images, std::span<Random> /*random*/) {
  const nn::Running running(*this);
  std::vector<Var> outputs;
  Var x = stem_(images);  // [N, H, W, 32]
  for (size_t s = 0; s < stages_.size(); ++s) {
    x = stages_[s](x);  // [N, H/2, W/2, 64] .. [N, H/32, W/32, 1024]
    ran(static_cast<i64>(s) + 1, x, outputs);
  }
  return outputs;
}

void DarkNet::visit(nn::Visitor& v) {
  v.child("", stem_);
  for (size_t s = 0; s < stages_.size(); ++s) v.child(fmt::format("stages.{}", s), stages_[s]);
}

}  // namespace tessera
