// Batch normalisation, live and frozen: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias per channel;
// and the normalisations of one sample alone.
#pragma once

#include <optional>

#include "nn/module.h"

namespace tessera::nn {

// y = x * scale + shift, per channel: what a normalisation with fixed statistics comes down to.
struct Affine {
  Var scale, shift;  // [C]
};

// Weight and bias are trained; in training mode the batch's own statistics are used and the running ones follow.
class BatchNorm2d : public Module {
 public:
  BatchNorm2d() = default;
  explicit BatchNorm2d(i64 channels, double eps = 1e-5, double momentum = 0.1);
  Var operator()(const Var& x);
  Affine affine() const;  // of evaluation mode
  void visit(Visitor& v) override;
  Var weight, bias;
  Tensor running_mean, running_var;

 private:
  double eps_ = 0, momentum_ = 0;
};

// All four are buffers: neither trained nor updated (detectron2's FrozenBN; there is no num_batches_tracked).
class FrozenBatchNorm : public Module {
 public:
  FrozenBatchNorm() = default;
  explicit FrozenBatchNorm(i64 channels, double eps = 1e-5);
  const Affine& affine() const;  // worked out once, and again after train(), to() and load_state()
  void visit(Visitor& v) override;
  void unfuse() override { affine_.reset(); }
  Tensor weight, bias, running_mean, running_var;

 private:
  double eps_ = 0;
  mutable std::optional<Affine> affine_;
};

// Over the last dimension, of `size` values; weight begins at 1, bias at 0.
class LayerNorm : public Module {
 public:
  LayerNorm() = default;
  explicit LayerNorm(i64 size, double eps = 1e-5);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  Var weight, bias;

 private:
  double eps_ = 0;
};

// Over groups of the last dimension's channels, per sample; weight begins at 1, bias at 0.
class GroupNorm : public Module {
 public:
  GroupNorm() = default;
  GroupNorm(i64 num_groups, i64 channels, double eps = 1e-5);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  Var weight, bias;

 private:
  i64 num_groups_ = 1;
  double eps_ = 0;
};

}  // namespace tessera::nn
