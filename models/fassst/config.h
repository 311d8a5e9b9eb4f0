// Every choice in FASSST (Cheng et al., WACV 2022). The paper leaves most of them open and there is no public code:
// defaults are "design A" of docs/fassst.md, which says what is the paper's and what fills its gaps.
#pragma once

#include <array>
#include <vector>

#include "models/backbones/backbone.h"
#include "tensor/fields.h"

namespace tessera::fassst {

// How the four coordinates of a cell are read (boxes.h).
enum class BoxForm { kCentre, kEdges };
constexpr auto names_of(BoxForm) {
  return std::array{std::pair{"centre", BoxForm::kCentre}, std::pair{"edges", BoxForm::kEdges}};
}

// What the localisation loss asks of the boxes (criterion.h).
enum class BoxLoss { kGiou, kFocal };
constexpr auto names_of(BoxLoss) {
  return std::array{std::pair{"giou", BoxLoss::kGiou}, std::pair{"focal", BoxLoss::kFocal}};
}

struct AttentionConfig {
  std::array<i64, 2> grid = {6, 6};
  std::vector<i64> widths = {128, 192, 256, 384, 448, 384, 128, 256};
  BoxForm boxes = BoxForm::kCentre;
  std::array<double, 2> log_side = {0, 0};

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(grid, "rows and columns of cells; each finds one object at most", at_least(1));
    TESSERA_FIELD(widths, "channels of the convolutions before the last; the last but one of them fits the grid",
                  at_least(1));
    TESSERA_FIELD(boxes, "what a cell predicts: centre and size, or the edges of a box");
    TESSERA_FIELD(log_side, "centre: initial logarithm of height and width, in cells", between(-6, 3));
  }
};

struct MaskConfig {
  i64 channels = 160, first_stride = 8;
  i64 side = 28;
  bool fusion = true;
  i64 depth = 5;
  bool group_norm = false;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(channels, "of the pyramid's levels and of the mask tail", at_least(1));
    TESSERA_FIELD(first_stride, "stride of the first of three levels: 8, or 4 for small objects",
                  between(4, 8).multiple_of(4));
    TESSERA_FIELD(side, "cells of a region's side on the first level, half and a quarter of them on the next",
                  at_least(4).multiple_of(4));
    TESSERA_FIELD(fusion, "sum of the three levels (RFF); off: the first alone (Table 9)");
    TESSERA_FIELD(depth, "3x3 convolutions of the tail, before the transposed one", between(0, 8));
    TESSERA_FIELD(group_norm, "GroupNorm of 32 groups behind each of them");
  }
};

struct LossConfig {
  double mask_weight = 5.75, location_weight = 3, class_weight = 1.25;
  BoxLoss boxes = BoxLoss::kGiou;
  double side_weight = 0;
  i64 max_rois = 36;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(mask_weight, "factor on the Dice loss of the masks", at_least(0));
    TESSERA_FIELD(location_weight, "factor on the losses of objectness and boxes", at_least(0));
    TESSERA_FIELD(class_weight, "factor on the focal loss of the classes", at_least(0));
    TESSERA_FIELD(boxes, "generalised IoU loss, or a focal loss on edges, which needs attention.boxes = \"edges\"");
    TESSERA_FIELD(side_weight,
                  "factor on |log side - its true value|, part of the loss of the boxes; for objects much "
                  "smaller than a cell",
                  at_least(0));
    TESSERA_FIELD(max_rois, "objects of a picture whose masks are learned in a step, a random choice of more",
                  at_least(1));
  }
};

struct InferenceConfig {
  double score_threshold = 0.001, nms_threshold = 0;
  i64 detections = 100;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(score_threshold, "cells below this score find nothing; 0: all boxes go through the mask tail",
                  between(0, 1));
    TESSERA_FIELD(nms_threshold, "IoU from which on a box suppresses worse ones of its class; 0: none is suppressed",
                  between(0, 1));
    TESSERA_FIELD(detections, "the best that are left", at_least(1));
  }
};

struct Config {
  i64 num_classes = 80;
  std::array<i64, 2> input = {416, 416};
  BackboneConfig backbone = {
      .kind = BackboneKind::kMobileNetV2, .norm = nn::Norm::kFrozenStatistics, .names = BackboneNames::kTorchvision};
  i64 head_depth = 5;
  AttentionConfig attention;
  MaskConfig mask;
  LossConfig loss;
  InferenceConfig inference;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(num_classes, "classes; training takes their number from the data", at_least(1));
    TESSERA_FIELD(
        input,
        "height and width of the input for which the attention module is built, those of input.size; it resamples "
        "what comes of others",
        at_least(32).multiple_of(32));
    TESSERA_FIELD(backbone, "network that turns the image into feature maps");
    TESSERA_FIELD(head_depth, "network head: rows of the backbone before the attention module (Table 5); ResNets: 4",
                  between(2, 8));
    TESSERA_FIELD(attention, "instance attention module: finds objects on a grid of cells");
    TESSERA_FIELD(mask, "pyramid mask layers, fusion of regions, mask tail");
    TESSERA_FIELD(loss, "weights of the terms of the loss");
    TESSERA_FIELD(inference, "how cells become objects");
  }
};

}  // namespace tessera::fassst
