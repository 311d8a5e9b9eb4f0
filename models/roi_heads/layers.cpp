#include "models/roi_heads/layers.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"

namespace tessera::roi_heads {

QueryFusion::QueryFusion(i64 channels, Random& random)
    : query_(channels, channels, random, ops::Activation::kRelu),
      first_({.in = 2 * channels, .out = channels, .activation = ops::Activation::kRelu}, random),
      second_({.in = channels, .out = channels}, random) {}

Var QueryFusion::operator()(const Var& features, const Var& queries) const {
  const nn::Running running(*this);
  const i64 R = queries.dim(0), C = queries.dim(1);
  const Var q = reshape(query_(queries), {R, 1, 1, C});
  const Var both = concat({broadcast_to(q, features.shape()), features}, 3);  // [R, S, S, 2C]
  return features + second_(first_(both));                                    // [R, S, S, C]
}

void QueryFusion::visit(nn::Visitor& v) {
  v.child("qry.0", query_);
  v.child("fuse_qry.0", first_);
  v.child("fuse_qry.2", second_);
}

Fcn::Fcn(i64 channels, i64 layers, Random& random) {
  for (i64 i = 0; i < layers; ++i)
    convs_.emplace_back(nn::Conv2dConfig{.in = channels,
                                         .out = channels,
                                         .kernel = 3,
                                         .padding = 1,
                                         .activation = ops::Activation::kRelu,
                                         .init = nn::Init::kC2Msra},
                        random);
}

Var Fcn::operator()(Var x) const {
  const nn::Running running(*this);
  for (const nn::Conv2d& conv : convs_) x = conv(x);  // [R, S, S, C]
  return x;
}

void Fcn::visit(nn::Visitor& v) {
  for (size_t i = 0; i < convs_.size(); ++i) v.child(fmt::format("{}.conv", i), convs_[i]);
}

}  // namespace tessera::roi_heads
