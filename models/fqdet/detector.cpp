#include "models/fqdet/detector.h"

#include <algorithm>

#include "models/fqdet/boxes.h"
#include "nn/profile.h"

namespace tessera::fqdet {

Detector::Detector(const Config& config, Random& random)
    : config_(check_fields("fqdet", config)),
      backbone_(config.backbone, random, rows_at(config.backbone.kind, strides_into(config.neck))),
      neck_(make_neck(config.neck, backbone_.levels(), random)),
      head_(config, neck_->levels(), random) {}

Output Detector::forward(const Var& images, const Batch& batch) {  // [B, H, W, 3]
  const nn::Running running(*this);
  const ImageSize padded{images.dim(1), images.dim(2)};
  std::vector<ImageSize> sizes;
  std::vector<std::string> names;
  for (i64 b = 0; b < batch.size(); ++b) {
    sizes.push_back(batch.size_of(b));
    names.push_back(batch.samples[static_cast<size_t>(b)].name());
  }
  const std::vector<Var> features = backbone_(images);              // C2 .. C5
  const std::vector<Var> maps = (*neck_)(features, sizes, padded);  // P2 .. P7, [B, h, w, C]
  return head_(maps, padded, names);                                // N = B n queries
}

GroundTruth Detector::ground_truth(const Batch& batch) {
  return ground_truth_of(batch, config_.num_classes, device());
}

std::vector<LossTerm> Detector::losses(const Output& output, const GroundTruth& truth, Matches& matches) const {
  const MatchingConfig& m = config_.matching;
  const Tensor ranked =
      ranked_anchors(output.all_anchors, truth.boxes, std::max(m.selection_ranks, m.query_ranks));  // [T, R]
  const Tensor targets =
      selection_targets(ranked, truth, output.selection.dim(0), output.selection.dim(1), m.selection_ranks);
  const QueryMatches matched = match_queries(ranked, truth, m.query_ranks, output.selected);
  matches = matched.matches;
  return loss_terms(output, targets, truth, matched, config_);
}

Predictions Detector::predict(const Output& output, const std::optional<Segmenter::Found>& given) const {
  if (given) return given_predictions(output, *given);
  return find_predictions(output, config_.inference);
}

Var Detector::boxes(const Output& output) const {
  return decode(output.deltas, output.anchors);
}

std::vector<DependentPart> Detector::dependent_parts() const {
  const bool tower = config_.form == Form::kPaper;
  return {{.names = std::string("heads.gvd.heads.0.logits.") + (tower ? "2.*" : "*"), .first_class = 0}};
}

void Detector::visit(nn::Visitor& v) {
  v.child("backbone", backbone_);
  v.child("core", *neck_);
  v.child("heads.gvd", head_);
}

}  // namespace tessera::fqdet
