#include "models/fqdet/output_heads.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"

namespace tessera::fqdet {

Tower::Tower(i64 C, i64 out, Random& random) : first_(C, C, random), update_(C, C, random), last_(C, out, random) {}

Var Tower::operator()(const Var& q) const {
  const nn::Running running(*this);
  const Var x = first_(q);
  return last_(x + update_(x));
}

void Tower::visit(nn::Visitor& v) {
  v.child("0", first_);
  v.child("1", update_);
  v.child("2", last_);
}

Perceptron::Perceptron(i64 C, i64 out, Random& random)
    : first_(C, C, random),
      second_(C, C, random, ops::Activation::kRelu),
      third_(C, C, random, ops::Activation::kRelu),
      last_(C, out, random),
      norm_(C) {}

Var Perceptron::operator()(const Var& q) const {
  const nn::Running running(*this);
  return last_(third_(second_(norm_(first_(q)))));
}

void Perceptron::visit(nn::Visitor& v) {  // 3 and 5 are the ReLUs
  v.child("0", first_);
  v.child("1", norm_);
  v.child("2", second_);
  v.child("4", third_);
  v.child("6", last_);
}

OutputHeads::OutputHeads(const Config& config, i64 C, Random& random) {
  if (config.form == Form::kPaper) {
    class_tower_.emplace(C, config.num_classes + 1, random);
    box_tower_.emplace(C, 4, random);
  } else {
    class_lin_.emplace(C, config.num_classes + 1, random);
    box_perceptron_.emplace(C, 4, random);
  }
  if (config.box_score) box_score_.emplace(C, 1, random);
}

OutputHeads::Result OutputHeads::operator()(const Var& q) const {
  const nn::Running running(*this);
  return {.class_logits = class_tower_ ? (*class_tower_)(q) : (*class_lin_)(q),
          .deltas = box_tower_ ? (*box_tower_)(q) : (*box_perceptron_)(q),
          .box_scores = box_score_ ? reshape((*box_score_)(q), {q.dim(0)}) : Var()};
}

void OutputHeads::visit(nn::Visitor& v) {
  v.child("0.logits", class_tower_);
  v.child("0.logits", class_lin_);
  v.child("1.logits", box_tower_);
  v.child("1.logits", box_perceptron_);
  v.child("1.box_score", box_score_);
}

}  // namespace tessera::fqdet
