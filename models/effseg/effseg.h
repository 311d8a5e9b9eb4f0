// EffSeg: Efficient Fine-Grained Instance Segmentation Using Structure-Preserving Sparsity (Picron and Tuytelaars), and
// the networks that it is compared with: FQDet with a mask head on the boxes of its queries.
//
//   images -> FQDet: maps, queries, boxes -> mask head on RoIs: in training all matched queries, else all predictions
#pragma once

#include <memory>

#include "models/batch_images.h"
#include "models/effseg/config.h"
#include "models/fqdet/detector.h"
#include "models/published.h"
#include "models/roi_heads/mask_head.h"

namespace tessera::effseg {

class EffSeg : public Segmenter {
 public:
  EffSeg(const Config& config, Random& random);

  // The detector's terms and the head's. The host waits for the device: it counts the matches and sorts RoIs by level.
  Losses losses(const Batch& batch, const StepContext& context) override;
  std::vector<double> normalisers(const Batch& batch) const override;  // groups, with head.group
  // Every prediction of the detector with its mask. The score of the mask is the class score times how sure the mask's
  // pixels are, that of the box the class score alone; the box is the detector's.
  // Panoptic: the segments that panoptic_segments() makes of the predictions, each with the box of its mask.
  Detections detect(const Batch& batch) override;

  size_t refinement_stages() const override { return config_.head.kind == HeadKind::kEffSeg ? kStages : 0; }
  bool finds_segments() const override { return config_.task == Task::kPanoptic; }
  std::optional<Limit> object_limit() const override {
    if (finds_segments()) return Limit{config_.queries, "model.queries"};
    return Limit{config_.inference.detections, "model.inference.detections"};
  }
  std::vector<DependentPart> dependent_parts() const override;
  void visit(nn::Visitor& v) override;

  fqdet::Detector& detector() { return detector_; }
  roi_heads::MaskHead& head() { return *head_; }

  // The head's terms for matched queries of the detector: those of each group of pictures, added up.
  std::vector<LossTerm> mask_losses(const fqdet::Output& output, const fqdet::Matches& matches,
                                    const ObjectMasks& objects, const Batch& batch, const StepContext& context);

 private:
  // RoIs of one picture: rows of the queries, and a class of each.
  roi_heads::Rois rois_of(const fqdet::Output& output, const Tensor& query, const Tensor& classes) const;
  // What is found in picture b.
  std::vector<Instance> objects(const fqdet::Output& output, const fqdet::Predictions& found, const Batch& batch,
                                i64 b);
  std::vector<Instance> segments(const fqdet::Output& output, const fqdet::Predictions& found, const Batch& batch,
                                 i64 b);

  Config config_;
  fqdet::Detector detector_;
  std::unique_ptr<roi_heads::MaskHead> head_;
};

// Initial weights depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed);

std::vector<PublishedTable> published();

}  // namespace tessera::effseg
