// Stage 1: a small convolutional network, the same on every level, says of each anchor whether it is worth a query. The
// feature of a selected anchor's cell becomes the query, through a module of its kind of anchor; the anchor's box
// becomes, in the paper's form, the query's position encoding.
#pragma once

#include <vector>

#include "models/fqdet/anchors.h"
#include "models/fqdet/layers.h"
#include "ops/anchors.h"

namespace tessera::fqdet {

class Selection : public nn::Module {
 public:
  Selection(const Config& config, i64 channels, i64 kinds, Random& random);

  Var logits(const std::vector<Var>& maps) const;  // [B, h, w, C] each -> [B, A]
  // tokens [B, S, C]: all cells of all maps -> [N, C]. Every module sees all N and each query takes its own: no number
  // of queries per kind has to reach the host.
  Var queries(const Var& tokens, const ops::AnchorRows& rows) const;
  // boxes [N, 4]: x y w h as parts of the picture -> [N, C]; undefined in the release form
  Var encoding(const Var& boxes) const;
  void visit(nn::Visitor& v) override;

 private:
  i64 kinds_;
  NormConv pre_, narrow_, bottleneck_, expansion_;  // the last three with a shortcut
  nn::Conv2d projection_;
  std::vector<NormLinear> modules_;  // of each kind of anchor
  std::optional<nn::Linear> box_lin_;
  std::optional<NormLinear> box_update_;
};

}  // namespace tessera::fqdet
