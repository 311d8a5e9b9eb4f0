// FQDet: Fast-converging Query-based Detector (Picron et al., NeurIPS 2022), the detector as a product of its own: it
// finds boxes and no masks. Its network is models/fqdet/detector.h.
#pragma once

#include <memory>

#include "models/fqdet/detector.h"
#include "models/published.h"
#include "models/segmenter.h"

namespace tessera::fqdet {

class FQDet : public Segmenter {
 public:
  FQDet(const Config& config, Random& random) : detector_(config, random) {}

  Losses losses(const Batch& batch, const StepContext& context) override;
  Detections detect(const Batch& batch) override;

  bool has_masks() const override { return false; }
  std::optional<Limit> object_limit() const override {
    return Limit{detector_.config().inference.detections, "model.inference.detections"};
  }
  std::vector<DependentPart> dependent_parts() const override { return detector_.dependent_parts(); }
  void visit(nn::Visitor& v) override { v.child("", detector_); }
  Detector& detector() { return detector_; }

 private:
  Detector detector_;
};

// The way back of a predicted box, x1 y1 x2 y2 in the padded batch, to the original picture: cut off at the picture's
// edge and enlarged. resized: size of the picture in the batch. Nothing where the box lies outside.
std::optional<XywhBox> to_original(const float* box, ImageSize resized, ImageSize original);

// Initial weights depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed);

std::vector<PublishedTable> published();

}  // namespace tessera::fqdet
