// Every choice in FQDet (Picron et al., NeurIPS 2022). Defaults are what EffSeg's tables stand on ("paper"); what the
// authors' code calls FQDetV2 ("release") stands in the meaning where it differs.
//
// The losses are sums over the pictures of a batch, without a normaliser: of several batches of one update the gradients
// are averaged.
// The published runs take one or two pictures per GPU and average over the GPUs. One device repeats them exactly with
// batches of that size, accumulated as often as there were GPUs. A larger batch in their place has the sum of its
// pictures' losses, a gradient that many times as large: the optimiser's clipping by the norm sees it, AdamW itself
// hardly; and its pictures are padded to the largest of more of them.
#pragma once

#include <vector>

#include "models/backbones/backbone.h"
#include "models/necks/neck.h"
#include "tensor/fields.h"

namespace tessera::fqdet {

// Box encoding, output heads and losses of the NeurIPS paper, or those of FQDetV2.
enum class Form { kPaper, kRelease };
constexpr auto names_of(Form) {
  return std::array{std::pair{"paper", Form::kPaper}, std::pair{"release", Form::kRelease}};
}

struct AnchorConfig {
  i64 sizes = 3;
  std::vector<double> ratios = {0.5, 1, 2};

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(sizes, "sizes per cell: 4 strides times 2^(j / sizes)", at_least(1));
    TESSERA_FIELD(ratios, "height / width of the boxes; release, detection: 1/8, 1/4, 1/2, 1, 2, 4, 8", above(0));
  }
};

struct DecoderConfig {
  i64 layers = 6, heads = 8, points = 1, hidden = 1024;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(layers, "each: deformable attention to the maps, attention among the queries, two linear layers",
                  at_least(1));
    TESSERA_FIELD(heads, "of both attentions; divides the channels", at_least(1));
    TESSERA_FIELD(points, "samples per head and level; the paper's first version: 4", at_least(1));
    TESSERA_FIELD(hidden, "width between the two linear layers; release: 2048", at_least(1));
  }
};

struct MatchingConfig {
  i64 selection_ranks = 5, query_ranks = 15;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(selection_ranks, "an object's best anchors by IoU that the selection learns", at_least(1));
    TESSERA_FIELD(query_ranks, "... that make their query learn the object", at_least(1));
  }
};

struct LossConfig {
  double selection_weight = 1, class_weight = 1, box_weight = 1, score_weight = 0.2;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(selection_weight, "factor on the focal loss of the anchors", at_least(0));
    TESSERA_FIELD(class_weight, "factor on the loss of the classes; release: 0.5", at_least(0));
    TESSERA_FIELD(box_weight, "factor on the loss of the boxes; release: 1.85", at_least(0));
    TESSERA_FIELD(score_weight, "factor on the loss of the box scores", at_least(0));
  }
};

struct InferenceConfig {
  i64 candidates = 1000, detections = 100;
  double nms_threshold = 0.5;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(candidates, "the best pairs of a query and a class that go into suppression", at_least(1));
    TESSERA_FIELD(detections, "the best that are left", at_least(1));
    TESSERA_FIELD(nms_threshold,
                  "IoU from which on a box suppresses worse ones of its class; release: 0.65, detection: 0.7",
                  between(0, 1));
  }
};

struct Config {
  i64 num_classes = 80, queries = 300;
  Form form = Form::kPaper;
  bool box_score = false;
  BackboneConfig backbone = {.names = BackboneNames::kTorchvision, .freeze_at = 2};
  NeckConfig neck;
  AnchorConfig anchors;
  DecoderConfig decoder;
  MatchingConfig matching;
  LossConfig loss;
  InferenceConfig inference;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(num_classes, "classes; training takes their number from the data", at_least(1));
    TESSERA_FIELD(queries, "anchors that are selected; all, where there are fewer. release: 600, detection: 1500",
                  at_least(1));
    TESSERA_FIELD(form, "box encoding, output heads and losses of the paper, or those of FQDetV2");
    TESSERA_FIELD(box_score, "a head that learns the IoU of each box; its score is a factor. release, detection");
    TESSERA_FIELD(backbone, "network that turns the image into feature maps");
    TESSERA_FIELD(neck, "network that makes of them a pyramid of one width");
    TESSERA_FIELD(anchors, "the boxes on each cell of the pyramid");
    TESSERA_FIELD(decoder, "layers through which the queries go");
    TESSERA_FIELD(matching, "which anchor and which query learn which object");
    TESSERA_FIELD(loss, "weights of the terms of the loss");
    TESSERA_FIELD(inference, "how predictions become objects");
  }
};

}  // namespace tessera::fqdet
