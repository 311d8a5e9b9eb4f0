// The layers that the models are built from. Constructors allocate and initialise, by default as PyTorch's do;
// nn/init.h has the initialisers.
#pragma once

#include <array>
#include <optional>

#include "autograd/conv2d.h"
#include "nn/module.h"
#include "tensor/random.h"

namespace tessera::nn {

// How a convolution's weights begin (nn/init.h).
enum class Init {
  kDefault,   // as PyTorch: weight and bias uniform with bound 1 / sqrt(fan_in)
  kC2Msra,    // weight normal with std sqrt(2 / fan_out), bias 0
  kC2Xavier,  // weight uniform with bound sqrt(3 / fan_in), bias 0
  kXavier,    // weight uniform with bound sqrt(6 / (fan_in + fan_out)), bias 0
  kZero,
};

struct Conv2dConfig {
  i64 in = 0, out = 0, kernel = 1, stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  ops::Activation activation = ops::Activation::kNone;  // fused; has no parameters
  Init init = Init::kDefault;
};

// weight [out, kernel, kernel, in/groups], bias [out]
class Conv2d : public Module {
 public:
  Conv2d() = default;  // to be assigned
  Conv2d(const Conv2dConfig& config, Random& random);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  void fuse(const InferenceOptions& options) override;
  void unfuse() override { packed_.reset(); }
  const Conv2dConfig& config() const { return config_; }
  ops::Conv2dParams params() const;
  Var weight, bias;

 private:
  Conv2dConfig config_;
  std::optional<ops::PackedConv2d> packed_;
};

struct ConvTranspose2dConfig {
  i64 in = 0, out = 0, kernel = 1, stride = 1, padding = 0, output_padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  Init init = Init::kDefault;  // fans as PyTorch counts them here: in from the output channels, out from the input's
};

// weight [in, kernel, kernel, out/groups], bias [out]
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d() = default;
  ConvTranspose2d(const ConvTranspose2dConfig& config, Random& random);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  Var weight, bias;

 private:
  ConvTranspose2dConfig config_;
};

// The element type of a parameter in an operator on x: bf16 where x is (docs/precision.md), else its own.
DType working_dtype(const Var& parameter, DType x);
inline DType working_dtype(const Var& parameter, const Var& x) {
  return working_dtype(parameter, x.value().dtype());
}

// The parameter in that type. It stays f32 itself, and so does its gradient. Undefined stays undefined.
Var for_input(const Var& parameter, const Var& x);

// The activation in a pass of its own, for what no convolution does in its own.
Var activate(const Var& x, ops::Activation activation);

// Throws when a gradient of x or of the weight is wanted from a fused layer.
void check_fused(const Var& x, const Var& weight);

// y = act(x weight^T + bias) over the last dimension; weight [out, in]
class Linear : public Module {
 public:
  Linear() = default;
  Linear(i64 in, i64 out, Random& random, ops::Activation activation = ops::Activation::kNone);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) override;
  Var weight, bias;

 private:
  ops::Activation activation_ = ops::Activation::kNone;
};

// Deformable convolution: v1 (Dai et al. 2017) moves the kernel's positions, v2 (Zhu et al. 2019) also weighs them.
enum class Deform { kNone, kV1, kV2 };
constexpr auto names_of(Deform) {
  return std::array{std::pair{"none", Deform::kNone}, std::pair{"v1", Deform::kV1}, std::pair{"v2", Deform::kV2}};
}

// The ordinary convolution that tells a deformable one where to sample: dy, dx of every kernel position (2 k k
// channels), in v2 also its weight in front of a sigmoid (k k more). It starts at zero. State dicts hold it beside the
// deformable layer, which is called <name>, as <name>_offset.
class OffsetConv : public Conv2d {
 public:
  OffsetConv(const Conv2dConfig& deformable, Deform version, Random& random);
  struct Sampling {
    Var offset, mask;  // mask is undefined in v1
  };
  Sampling operator()(const Var& x) const;
};

// weight [out, kernel, kernel, in/groups], bias [out]; the activation follows in a pass of its own.
class DeformConv2d : public Module {
 public:
  DeformConv2d(const Conv2dConfig& config, Random& random);
  Var operator()(const Var& x, const OffsetConv::Sampling& sampling) const;
  void visit(Visitor& v) override;
  Var weight, bias;

 private:
  Conv2dConfig config_;
};

}  // namespace tessera::nn
