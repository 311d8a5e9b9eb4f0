// FQDet's head: stage 1 selects anchors, whose features become queries; stage 2 lets the queries look at the maps and
// at each other, and reads classes and boxes off them.
#pragma once

#include <string>
#include <vector>

#include "models/fqdet/anchors.h"
#include "models/fqdet/decoder.h"
#include "models/fqdet/output_heads.h"
#include "models/fqdet/selection.h"

namespace tessera::fqdet {

// What the head says of a batch of B pictures; N = B n queries, one picture after the other.
struct Output {
  std::vector<Var> maps;  // [B, h, w, C], fine first
  Var selection;          // [B, A]: logits, is this anchor one of an object's best?
  Tensor all_anchors;     // [A, 4]: x1 y1 x2 y2 in pixels of the padded batch; those of every picture
  Tensor selected;        // i64 [B, n]: the anchors that became queries
  Tensor picture;         // i64 [N]: whose query it is
  Tensor anchors;         // [N, 4]: of the queries
  Var queries;            // [N, C], after the last layer
  Var class_logits;       // [N, K + 1]; the last is that of no object
  Var deltas;             // [N, 4]: box relative to the anchor (boxes.h)
  Var box_scores;         // [N]: logits of the box's IoU; undefined without this head
};

class Head : public nn::Module {
 public:
  Head(const Config& config, const std::vector<FeatureLevel>& levels, Random& random);
  // Intermediates: queries.0 (before the layers), encoding, queries.1 and so on.
  // names: of the pictures, for the message where numbers are not finite.
  Output operator()(const std::vector<Var>& maps, ImageSize padded, const std::vector<std::string>& names = {});
  void visit(nn::Visitor& v) override;

 private:
  i64 queries_;
  AnchorGrid grid_;
  Selection selection_;
  std::vector<DecoderLayer> layers_;
  OutputHeads outputs_;
};

}  // namespace tessera::fqdet
