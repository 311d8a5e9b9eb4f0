#include "models/effseg/layers.h"

#include <cmath>
#include <numbers>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "autograd/sps.h"
#include "nn/profile.h"

namespace tessera::effseg {

namespace {

constexpr i64 kChildren = 4;

}  // namespace

Mlp::Mlp(i64 in, i64 hidden, i64 out, Random& random)
    : first_(in, hidden, random, ops::Activation::kRelu), second_(hidden, out, random) {}

Var Mlp::operator()(const Var& x) const {
  const nn::Running running(*this);
  return second_(first_(x));
}

void Mlp::visit(nn::Visitor& v) {
  v.child("0", first_);
  v.child("2", second_);
}

ChildMlp::ChildMlp(i64 width, bool separate, Random& random)
    : first_(width, kChildren * width, random, ops::Activation::kRelu) {
  for (i64 c = 0; c < (separate ? kChildren : 1); ++c) second_.emplace_back(width, width, random);
}

Var ChildMlp::operator()(const Var& parents) const {
  const nn::Running running(*this);
  const i64 n = parents.dim(0), F = parents.dim(1);
  const Var hidden = first_(parents);  // [n, 4F]
  Var step;
  if (second_.size() == 1) {
    step = second_[0](reshape(hidden, {kChildren * n, F}));  // [4n, F]
  } else {
    std::vector<Var> children;
    for (i64 c = 0; c < kChildren; ++c)
      children.push_back(second_[static_cast<size_t>(c)](slice(hidden, 1, c * F, (c + 1) * F)));  // [n, F]
    step = reshape(concat(children, 1), {kChildren * n, F});
  }
  return sps_repeat(parents) + step;  // [4n, F]
}

void ChildMlp::visit(nn::Visitor& v) {
  v.child("0", first_);
  if (second_.size() == 1) return v.child("3", second_[0]);
  for (size_t c = 0; c < second_.size(); ++c) v.child(fmt::format("3.{}", c), second_[c]);
}

Tensor position_encoding(i64 size, i64 channels) {
  TESSERA_CHECK(channels % 4 == 0, "position encoding: {} channels are not a multiple of 4", channels);
  Tensor encoding = Tensor::empty({size, size, channels});
  float* out = encoding.data<float>();
  const auto put = [&](i64 place, double (*wave)(double)) {
    const double t = 2 * std::numbers::pi * (static_cast<double>(place) + 0.5) / static_cast<double>(size);
    for (i64 j = 0; j < channels / 4; ++j)
      *out++ =
          static_cast<float>(wave(t / std::pow(10000, 4 * static_cast<double>(j) / static_cast<double>(channels))));
  };
  for (i64 y = 0; y < size; ++y)
    for (i64 x = 0; x < size; ++x)
      for (const i64 place : {x, y}) {
        put(place, std::sin);
        put(place, std::cos);
      }
  return encoding;
}

}  // namespace tessera::effseg
