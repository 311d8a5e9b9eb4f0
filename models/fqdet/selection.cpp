#include "models/fqdet/selection.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/profile.h"

namespace tessera::fqdet {

Selection::Selection(const Config& config, i64 C, i64 kinds, Random& random) : kinds_(kinds) {
  TESSERA_CHECK(C % 32 == 0, "fqdet: neck.channels must be a multiple of 32 (8 groups in a quarter of them), got {}",
                C);
  pre_ = NormConv({.in = C, .out = C}, random);
  narrow_ = NormConv({.in = C, .out = C / 4}, random);
  bottleneck_ = NormConv({.in = C / 4, .out = C / 4, .kernel = 3, .padding = 1}, random);
  expansion_ = NormConv({.in = C / 4, .out = C}, random);
  projection_ = nn::Conv2d({.in = C, .out = kinds}, random);
  nn::init_constant(projection_.bias, nn::prior_bias(0.01));
  for (i64 kind = 0; kind < kinds; ++kind) modules_.emplace_back(C, C, random);
  if (config.form == Form::kPaper) {
    box_lin_.emplace(4, C, random);
    box_update_.emplace(C, C, random);
  }
}

Var Selection::logits(const std::vector<Var>& maps) const {
  const nn::Running running(*this);
  std::vector<Var> levels;
  for (const Var& map : maps) {                         // [B, h, w, C]
    const Var x = pre_(map);                            // [B, h, w, C]
    const Var y = expansion_(bottleneck_(narrow_(x)));  // through C / 4
    const Var logits = projection_(add_relu(x, y));     // [B, h, w, kinds]
    levels.push_back(reshape(logits, {map.dim(0), map.dim(1) * map.dim(2) * kinds_}));
  }
  return concat(levels, 1);  // [B, A]
}

Var Selection::queries(const Var& tokens, const ops::AnchorRows& rows) const {
  const nn::Running running(*this);
  const i64 B = tokens.dim(0), S = tokens.dim(1), C = tokens.dim(2);
  const Var features = gather_rows(reshape(tokens, {B * S, C}), rows.cell);  // [N, C]
  std::vector<Var> of_kind;
  for (const NormLinear& module : modules_) of_kind.push_back(module(features));
  return gather_rows(concat(of_kind, 0), rows.slot);  // [kinds N, C] -> [N, C]
}

Var Selection::encoding(const Var& boxes) const {
  if (!box_lin_) return {};
  const nn::Running running(*this);
  const Var e = (*box_lin_)(boxes);  // [N, C]
  return e + (*box_update_)(e);
}

void Selection::visit(nn::Visitor& v) {
  v.child("logits.pre.0", pre_);
  v.child("logits.pre.1.proj", narrow_);
  v.child("logits.pre.1.bottle", bottleneck_);
  v.child("logits.pre.1.expansion", expansion_);
  v.child("logits.proj.conv", projection_);
  for (size_t kind = 0; kind < modules_.size(); ++kind)
    v.child(fmt::format("post.0.module_list.{}", kind), modules_[kind]);
  v.child("box_encoder.0", box_lin_);
  v.child("box_encoder.1", box_update_);
}

}  // namespace tessera::fqdet
