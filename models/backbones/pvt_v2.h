// PVTv2 (Wang et al. 2022, "PVT v2: Improved baselines with pyramid vision transformer"), B1 and B2 with linear
// attention, without their classifiers.
//
//   row      1    2     3     4      stages
//   out      64   128   320   512    channels, 64 for each head
//   by       4    8     16    32     stride
//   reduce   8    4     2     1      side of the squares that are one key; linear: 7 x 7 keys in every stage
//   mlp      8    8     4     4      times as wide inside
//
// A stage embeds overlapping patches by a convolution, runs its blocks and normalises. Maps stay [N, H, W, C]; where
// attention wants tokens they are reshaped. Parameter names are those of the authors' code ("patch_embed1.proj",
// "block1.0.attn.q", "block1.0.mlp.dwconv.dwconv", "norm1").
#pragma once

#include <optional>
#include <vector>

#include "models/backbones/backbone.h"
#include "nn/norm.h"

namespace tessera {

// Every pixel asks, the reduced map answers: y = proj(softmax(q k^T / 8) v) for each head.
class PvtAttention : public nn::Module {
 public:
  PvtAttention(i64 channels, i64 reduction, bool linear, Random& random);
  Var operator()(const Var& x) const;  // [N, H, W, C] -> the same
  void visit(nn::Visitor& v) override;

 private:
  Var keys(const Var& x) const;  // [N, h, w, C]; rows and columns that fill no square are left out

  bool linear_;
  nn::Linear q_, kv_, proj_;
  std::optional<nn::Conv2d> reduce_;
  std::optional<nn::LayerNorm> norm_;
};

// y = fc2(gelu(depthwise 3x3(fc1(x)))), linear: with a ReLU behind fc1
class PvtMlp : public nn::Module {
 public:
  PvtMlp(i64 channels, i64 inner, bool linear, Random& random);
  Var operator()(const Var& x) const;
  void visit(nn::Visitor& v) override;

 private:
  bool linear_;
  nn::Linear fc1_, fc2_;
  nn::Conv2d depthwise_;
};

// x += attention(norm(x)), x += mlp(norm(x)), in training without one or the other for some images.
class PvtBlock : public nn::Module {
 public:
  struct Plan {
    i64 channels, reduction, inner;
    bool linear;
    double drop;  // rate
  };
  PvtBlock(const Plan& plan, Random& random);
  Var operator()(const Var& x, std::span<Random> random) const;
  void visit(nn::Visitor& v) override;

 private:
  double drop_;
  nn::LayerNorm norm1_, norm2_;
  PvtAttention attention_;
  PvtMlp mlp_;
};

class PvtV2 : public Backbone {
 public:
  PvtV2(const BackboneConfig& config, Random& random, std::vector<i64> rows = {});
  bool draws() const override { return draws_; }
  void visit(nn::Visitor& v) override;

 private:
  struct Stage {
    nn::Conv2d embed;
    nn::LayerNorm embed_norm, norm;
    std::vector<PvtBlock> blocks;
  };
  std::vector<Var> forward(const Var& images, std::span<Random> random) override;

  bool draws_;
  std::vector<Stage> stages_;
};

}  // namespace tessera
