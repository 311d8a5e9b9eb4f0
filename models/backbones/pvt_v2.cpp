#include "models/backbones/pvt_v2.h"

#include <cmath>
#include <numeric>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "autograd/pool.h"
#include "nn/attention.h"
#include "nn/init.h"
#include "nn/profile.h"

namespace tessera {

namespace {

constexpr i64 kHead = 64, kLinearSide = 7;  // channels of a head; keys of linear attention are 7 x 7
constexpr double kEps = 1e-6;               // of the norms outside patch embedding and reduction, which have 1e-5

nn::Linear linear(i64 in, i64 out, Random& random) {
  nn::Linear layer(in, out, random);
  nn::init_normal(layer.weight, 0.02, random);
  nn::init_constant(layer.bias, 0);
  return layer;
}

nn::Conv2d conv(const nn::Conv2dConfig& config, Random& random) {
  nn::Conv2d layer(config, random);
  const double fan_out = static_cast<double>(config.kernel * config.kernel * config.out / config.groups);
  nn::init_normal(layer.weight, std::sqrt(2 / fan_out), random);
  nn::init_constant(layer.bias, 0);
  return layer;
}

Var tokens(const Var& map) {
  return reshape(map, {map.dim(0), map.dim(1) * map.dim(2), map.dim(3)});
}

// Stochastic depth (Huang et al. 2016): a branch is left out of an image with the probability `rate`, else divided by
// 1 - rate.
Var drop_path(const Var& branch, double rate, std::span<Random> random) {
  if (random.empty() || rate == 0) return branch;
  TESSERA_CHECK(std::ssize(random) == branch.dim(0), "drop_path: {} random streams for {} images", random.size(),
                branch.dim(0));
  Tensor factors = Tensor::empty({branch.dim(0), 1, 1, 1});
  for (size_t n = 0; n < random.size(); ++n)
    factors.data<float>()[n] = static_cast<float>(random[n].chance(rate) ? 0 : 1 / (1 - rate));
  return branch * cast(Var(factors.to(branch.value().device())), branch.value().dtype());
}

}  // namespace

PvtAttention::PvtAttention(i64 channels, i64 reduction, bool linear_attention, Random& random)
    : linear_(linear_attention),
      q_(linear(channels, channels, random)),
      kv_(linear(channels, 2 * channels, random)),
      proj_(linear(channels, channels, random)) {
  if (!linear_ && reduction == 1) return;
  const i64 side = linear_ ? 1 : reduction;
  reduce_ = conv({.in = channels, .out = channels, .kernel = side, .stride = side}, random);
  norm_.emplace(channels);
}

Var PvtAttention::keys(const Var& x) const {
  if (!reduce_) return x;
  const Var y = (*norm_)((*reduce_)(linear_ ? adaptive_avg_pool2d(x, kLinearSide, kLinearSide) : x));
  return linear_ ? gelu(y) : y;
}

Var PvtAttention::operator()(const Var& x) const {
  const nn::Running running(*this);
  const i64 C = x.dim(3);
  const Var both = tokens(kv_(keys(x)));  // [N, K, 2C]
  const Var seen = nn::attend(tokens(q_(x)), slice(both, 2, 0, C), slice(both, 2, C, 2 * C), C / kHead);
  return proj_(reshape(seen, x.shape()));
}

void PvtAttention::visit(nn::Visitor& v) {
  v.child("q", q_);
  v.child("kv", kv_);
  v.child("proj", proj_);
  v.child("sr", reduce_);
  v.child("norm", norm_);
}

PvtMlp::PvtMlp(i64 channels, i64 inner, bool linear_attention, Random& random)
    : linear_(linear_attention),
      fc1_(linear(channels, inner, random)),
      fc2_(linear(inner, channels, random)),
      depthwise_(conv({.in = inner, .out = inner, .kernel = 3, .padding = 1, .groups = inner}, random)) {}

Var PvtMlp::operator()(const Var& x) const {
  const nn::Running running(*this);
  const Var wide = fc1_(x);
  return fc2_(gelu(depthwise_(linear_ ? relu(wide) : wide)));
}

void PvtMlp::visit(nn::Visitor& v) {
  v.child("fc1", fc1_);
  v.child("dwconv.dwconv", depthwise_);
  v.child("fc2", fc2_);
}

PvtBlock::PvtBlock(const Plan& p, Random& random)
    : drop_(p.drop),
      norm1_(p.channels, kEps),
      norm2_(p.channels, kEps),
      attention_(p.channels, p.reduction, p.linear, random),
      mlp_(p.channels, p.inner, p.linear, random) {}

Var PvtBlock::operator()(const Var& x, std::span<Random> random) const {
  const nn::Running running(*this);
  const Var y = x + drop_path(attention_(norm1_(x)), drop_, random);
  return y + drop_path(mlp_(norm2_(y)), drop_, random);
}

void PvtBlock::visit(nn::Visitor& v) {
  v.child("norm1", norm1_);
  v.child("attn", attention_);
  v.child("norm2", norm2_);
  v.child("mlp", mlp_);
}

PvtV2::PvtV2(const BackboneConfig& config, Random& random, std::vector<i64> rows)
    : Backbone(config.kind, std::move(rows)), draws_(config.drop_path > 0) {
  check_fields("pvt_v2", config);
  constexpr i64 kChannels[] = {64, 128, 320, 512}, kReduction[] = {8, 4, 2, 1}, kRatio[] = {8, 8, 4, 4};
  const bool large = config.kind == BackboneKind::kPvtV2B2Linear;
  const std::array<i64, 4> depths = large ? std::array<i64, 4>{3, 4, 6, 3} : std::array<i64, 4>{2, 2, 2, 2};
  const i64 all = std::accumulate(depths.begin(), depths.end(), i64{0});
  i64 in = 3, block = 0;
  for (size_t s = 0; s < static_cast<size_t>(last_row()); ++s) {
    const i64 out = kChannels[s], kernel = s == 0 ? 7 : 3, stride = s == 0 ? 4 : 2;
    Stage& stage = stages_.emplace_back(
        Stage{conv({.in = in, .out = out, .kernel = kernel, .stride = stride, .padding = kernel / 2}, random),
              nn::LayerNorm(out),
              nn::LayerNorm(out, kEps),
              {}});
    for (i64 b = 0; b < depths[s]; ++b, ++block) {
      const double drop = config.drop_path * static_cast<double>(block) / static_cast<double>(all - 1);
      stage.blocks.emplace_back(PvtBlock::Plan{out, kReduction[s], out * kRatio[s], large, drop}, random);
    }
    built(static_cast<i64>(s) + 1, out);
    in = out;
  }
}

std::vector<Var> PvtV2::forward(const Var& images, std::span<Random> random) {
  const nn::Running running(*this);
  if (!training()) random = {};
  std::vector<Var> outputs;
  Var x = images;
  i64 row = 0;
  for (const Stage& stage : stages_) {
    x = stage.embed_norm(stage.embed(x));  // [N, H/4, W/4, 64] .. [N, H/32, W/32, 512]
    for (const PvtBlock& block : stage.blocks) x = block(x, random);
    x = stage.norm(x);
    ran(++row, x, outputs);
  }
  return outputs;
}

void PvtV2::visit(nn::Visitor& v) {
  for (size_t s = 0; s < stages_.size(); ++s) {
    Stage& stage = stages_[s];
    v.child(fmt::format("patch_embed{}.proj", s + 1), stage.embed);
    v.child(fmt::format("patch_embed{}.norm", s + 1), stage.embed_norm);
    for (size_t b = 0; b < stage.blocks.size(); ++b) v.child(fmt::format("block{}.{}", s + 1, b), stage.blocks[b]);
    v.child(fmt::format("norm{}", s + 1), stage.norm);
  }
}

}  // namespace tessera
