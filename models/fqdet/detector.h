// The network of FQDet, which detectors and the mask heads on top of it share:
//
//   images -> backbone -> neck -> head: selected anchors, queries, classes and boxes
//
// N = B n queries: n for each of B pictures, one picture after the other. K classes, C channels, A anchors per picture.
#pragma once

#include <memory>

#include "models/backbones/body_backbone.h"
#include "models/fqdet/criterion.h"
#include "models/fqdet/head.h"
#include "models/fqdet/inference.h"
#include "models/fqdet/matching.h"

namespace tessera::fqdet {

class Detector : public nn::Module {
 public:
  Detector(const Config& config, Random& random);

  // images [B, H, W, 3], normalised; the batch tells which part of each is picture. Intermediates: those of the parts.
  Output forward(const Var& images, const Batch& batch);

  // The objects of a batch as the losses need them; made before forward(), so that no copy waits for it.
  GroundTruth ground_truth(const Batch& batch);

  // loss_sel, loss_cls, loss_box and, with box scores, loss_score; `matches` receives which query learned which object.
  // The host waits for the device once, to learn how many matches there are.
  std::vector<LossTerm> losses(const Output& output, const GroundTruth& truth, Matches& matches) const;

  // What is found; or as many as are given (Segmenter::given).
  Predictions predict(const Output& output, const std::optional<Segmenter::Found>& given = {}) const;
  // The predicted boxes, x1 y1 x2 y2 in pixels of the padded batch [N, 4]; their gradient is that of the deltas.
  Var boxes(const Output& output) const;

  std::vector<DependentPart> dependent_parts() const;  // as Segmenter's
  void visit(nn::Visitor& v) override;
  const Config& config() const { return config_; }

 private:
  Config config_;
  BodyBackbone backbone_;
  std::unique_ptr<Neck> neck_;
  Head head_;
};

}  // namespace tessera::fqdet
