// From overlapping masks to a panoptic picture: segments that share no pixel, things and stuff.
//                                                        Picron and Tuytelaars, EffSeg, the panoptic form of its code
//
// Of N predictions of one picture, each with a class, a score s and a probability p at every pixel (mask: p > 1/2):
//   1 those with s > score_threshold stay, by descending s
//   2 of these the ones whose mask is not empty and has an IoU below nms_threshold with every mask before it, kept
//     or not
//   3 a pixel goes to the one with the largest s p (the first among equals), and stays there if its p > pixel_threshold
//   4 a prediction stays when its pixels have an IoU with its mask above least_overlap, and are more than least_area;
//     what it loses is void
//   5 predictions of stuff of one class become one segment, its score their mean
#pragma once

#include <span>
#include <vector>

#include "models/segmenter.h"
#include "tensor/fields.h"

namespace tessera::roi_heads {

struct PanopticConfig {
  double score_threshold = 0.3, nms_threshold = 0.75, pixel_threshold = 0.35, least_overlap = 0.6;
  i64 least_area = 150, things = 80;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(things,
                  "classes of objects: the first ones, the others are stuff; training takes their number from the data",
                  at_least(0));
    TESSERA_FIELD(score_threshold, "predictions of a higher score become segments", at_least(0));
    TESSERA_FIELD(nms_threshold, "a mask is dropped at this overlap with that of a higher score", between(0, 1));
    TESSERA_FIELD(pixel_threshold, "a pixel of no higher probability belongs to no segment", between(0, 1));
    TESSERA_FIELD(least_overlap, "a segment overlaps its mask by more", between(0, 1));
    TESSERA_FIELD(least_area, "a segment has more pixels", at_least(0));
  }
};

struct PanopticSegments {
  struct Candidate {  // what steps 1 and 2 leave
    i64 prediction = 0;
    i64 area = 0;        // pixels after step 3
    double overlap = 0;  // IoU of these with its mask
    bool kept = false;   // by step 4
  };
  struct Segment {
    i64 class_index = 0;
    double score = 0;
    i64 prediction = 0;  // of merged stuff that of the highest score
  };
  std::vector<Candidate> candidates;  // by descending score
  std::vector<Segment> segments;      // things by descending score, then stuff by ascending class
  Tensor ids;                         // i64 [h, w] on the CPU: n for a pixel of segments[n - 1], 0 for void
};

// How many of scores [N], which fall, step 1 lets stay: the others' probabilities are not looked at.
i64 sure_predictions(const Tensor& scores, const PanopticConfig& config);

// probabilities [N, h, w], classes i64 [N], scores [N]: any device, N may be 0.
PanopticSegments panoptic_segments(const Tensor& probabilities, const Tensor& classes, const Tensor& scores,
                                   const PanopticConfig& config);

// The segments as objects of the original picture. The ids are those of the network's padded input, of which the
// picture is the `resized` pixels from the upper left; they are resized to nearest neighbours by PyTorch's rule, so
// that segments stay disjoint. What is empty then is dropped. queries: of each prediction.
std::vector<Instance> panoptic_instances(const PanopticSegments& segments, std::span<const i64> queries,
                                         ImageSize resized, ImageSize original);

// The probabilities of N boxes [N, S, S] at every pixel of the padded input, [N, h, w], 0 away from the box: what
// ops/paste_masks.h calls p. boxes [N, 4] in pixels of that input.
Tensor paste_probabilities(const Tensor& probabilities, const Tensor& boxes, ImageSize padded);

}  // namespace tessera::roi_heads
