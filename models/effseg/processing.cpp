#include "models/effseg/processing.h"

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/conv2d.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/norm.h"
#include "nn/profile.h"
#include "ops/dtypes.h"

namespace tessera::effseg {

namespace {

using enum ops::Activation;

constexpr std::array<i64, 3> kSfmDilations = {1, 3, 5};

// SFM, the semantic fusion module: one Linear + ReLU, the sum of three dilated convolutions, each with its ReLU, then
// two of the first kind. The convolutions read the processed active features, but the passive ones as they came.
class Sfm : public ProcessingModule {
 public:
  Sfm(i64 width, Random& random) : first_(width, width, random, kRelu) {
    for (size_t i = 0; i < kSfmDilations.size(); ++i)
      convs_[i] = SpsConv2d(width, width, kSfmDilations[i], ops::Activation::kRelu, random);
    second_ = nn::Linear(width, width, random, kRelu);
    third_ = nn::Linear(width, width, random, kRelu);
  }

  Var operator()(const Sps& sps) const override {
    const nn::Running running(*this);
    const Sps in{sps.structure, first_(sps.active), sps.passive};
    Var x = convs_[0](in);
    for (size_t i = 1; i < convs_.size(); ++i) x = x + convs_[i](in);
    return third_(second_(x));  // [N_A, F]
  }

  void visit(nn::Visitor& v) override {
    v.child("0", first_);
    for (size_t i = 0; i < convs_.size(); ++i) v.child(fmt::format("2.sub_modules.{}.0", i), convs_[i]);
    v.child("3", second_);
    v.child("5", third_);
  }

 protected:
  nn::Linear first_, second_, third_;
  std::array<SpsConv2d, kSfmDilations.size()> convs_;
};

// SFM where all cells are active: the maps that they make, and ordinary convolutions.
class DenseSfm : public Sfm {
 public:
  using Sfm::Sfm;

  Var operator()(const Sps& sps) const override {
    const nn::Running running(*this);
    TESSERA_CHECK(sps.structure.passive == 0, "dense_sfm: {} cells are passive, all must be active",
                  sps.structure.passive);
    const i64 R = sps.structure.rois(), S = sps.structure.size(), F = sps.active.dim(1);
    const Var rows = gather_rows(first_(sps.active), sps.structure.index_map.reshape({R * S * S}));
    const Var map = reshape(rows, {R, S, S, F});
    Var x = convs_[0].on_map(map);
    for (size_t i = 1; i < convs_.size(); ++i) x = x + convs_[i].on_map(map);  // [R, S, S, F]
    x = third_(second_(reshape(x, {R * S * S, F})));
    return gather_rows(x, ops::sps_rows(sps.structure));  // [N_A, F]
  }
};

// The three that differ in their first layer alone: First, layer norm, and two linear layers with 4 F between them.
template <class First>
class FeedForward : public ProcessingModule {
 public:
  FeedForward(First first, i64 width, Random& random)
      : first_(std::move(first)),
        norm_(width),
        wide_(width, 4 * width, random, kRelu),
        narrow_(4 * width, width, random) {}

  Var operator()(const Sps& sps) const override {
    const nn::Running running(*this);
    Var x;
    if constexpr (std::is_same_v<First, nn::Linear>)
      x = first_(sps.active);
    else
      x = first_(sps);
    return narrow_(wide_(norm_(x)));  // [N_A, F]
  }

  void visit(nn::Visitor& v) override {
    v.child("0", first_);
    v.child("1", norm_);
    v.child("2", wide_);
    v.child("4", narrow_);
  }

 private:
  First first_;
  nn::LayerNorm norm_;
  nn::Linear wide_, narrow_;
};

// Kaiming uniform with a = sqrt(5), as PyTorch's convolution: everything uniform with bound 1 / sqrt(9 in).
void make_convolution(i64 in, i64 out, Var& weight, Var& bias, Random& random) {
  const double bound = 1 / std::sqrt(static_cast<double>(ops::kSpsPositions * in));
  weight = Var(Tensor::empty({out, ops::kSpsPositions * in}), true);
  bias = Var(Tensor::empty({out}), true);
  nn::init_uniform(weight, bound, random);
  nn::init_uniform(bias, bound, random);
}

}  // namespace

SpsConv2d::SpsConv2d(i64 in, i64 out, i64 dilation, ops::Activation activation, Random& random)
    : dilation_(dilation), activation_(activation) {
  make_convolution(in, out, weight, bias, random);
}

Var SpsConv2d::operator()(const Sps& sps) const {
  const nn::Running running(*this);
  return sps_conv2d(ops::sps_neighbours(sps.structure, dilation_), sps.active, sps.passive,
                    nn::for_input(weight, sps.active), nn::for_input(bias, sps.active), activation_);
}

void SpsConv2d::visit(nn::Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}

Var SpsConv2d::on_map(const Var& map) const {
  const nn::Running running(*this);
  return conv2d(map, reshape(nn::for_input(weight, map), {weight.dim(0), 3, 3, map.dim(3)}), nn::for_input(bias, map),
                {.padding = dilation_, .dilation = dilation_, .activation = activation_});
}

SpsDeformConv2d::SpsDeformConv2d(i64 in, i64 out, i64 dilation, Random& random)
    : conv_offsets(in, 2 * ops::kSpsPositions, random) {
  make_convolution(in, out, weight, bias, random);
  nn::init_constant(conv_offsets.weight, 0);
  float* grid = conv_offsets.bias.value().data<float>();
  for (i64 position = 0; position < ops::kSpsPositions; ++position) {
    grid[2 * position] = static_cast<float>((position % 3 - 1) * dilation);
    grid[2 * position + 1] = static_cast<float>((position / 3 - 1) * dilation);
  }
}

Var SpsDeformConv2d::operator()(const Sps& sps) const {
  const nn::Running running(*this);
  // Offsets are f32 whatever the features are: bf16 has 8 bits for whole cells and their fractions together.
  const Var offsets = cast(conv_offsets(sps.active), ops::parameter_dtype(sps.active.value().dtype()));
  return sps_deform_conv2d(sps.structure, sps.active, sps.passive, offsets, nn::for_input(weight, sps.active),
                           nn::for_input(bias, sps.active));
}

void SpsDeformConv2d::visit(nn::Visitor& v) {
  v.child("conv_offsets", conv_offsets);
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}

std::unique_ptr<ProcessingModule> make_processing(Processing kind, i64 width, Random& random) {
  switch (kind) {
    case Processing::kSfm:
      return std::make_unique<Sfm>(width, random);
    case Processing::kConv: {
      SpsConv2d first(width, width, 1, ops::Activation::kNone, random);
      return std::make_unique<FeedForward<SpsConv2d>>(std::move(first), width, random);
    }
    case Processing::kDeformConv: {
      SpsDeformConv2d first(width, width, 1, random);
      return std::make_unique<FeedForward<SpsDeformConv2d>>(std::move(first), width, random);
    }
    case Processing::kMlp: {
      nn::Linear first(width, width, random);
      return std::make_unique<FeedForward<nn::Linear>>(std::move(first), width, random);
    }
    case Processing::kDenseSfm:
      return std::make_unique<DenseSfm>(width, random);
  }
  fail("make_processing: there is no module {}", static_cast<int>(kind));
}

}  // namespace tessera::effseg
