// EffSeg's network: the options of FQDet and, beside them, those of the mask head on top of it. The heads that the
// paper compares with stand on the same detector, so they are a choice here.
#pragma once

#include "models/effseg/head_config.h"
#include "models/fqdet/config.h"
#include "models/roi_heads/panoptic.h"
#include "models/roi_heads/point_rend.h"

namespace tessera::effseg {

enum class HeadKind { kEffSeg, kMaskRcnn, kPointRend, kRefineMask };
constexpr auto names_of(HeadKind) {
  return std::array{std::pair{"effseg", HeadKind::kEffSeg}, std::pair{"mask_rcnn", HeadKind::kMaskRcnn},
                    std::pair{"point_rend", HeadKind::kPointRend}, std::pair{"refine_mask", HeadKind::kRefineMask}};
}

// The kind decides which options there are besides.
struct MaskHeadConfig {
  HeadKind kind = HeadKind::kEffSeg;
  i64 max_train_rois = 0, group = 0;
  HeadConfig effseg;
  roi_heads::PointRendConfig point_rend;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(kind, "EffSeg's head, or one of those it is compared with, all on features that know their query");
    TESSERA_FIELD(
        max_train_rois,
        "RoIs of a picture, drawn from its matched queries, that learn masks in a step and stand for all; 0: all",
        at_least(0));
    TESSERA_FIELD(
        group,
        "pictures of a batch whose RoIs are counted and ranked together, as one GPU of the paper has them: 1 or 2; "
        "all losses are then means over the groups. 0: all. In inference it is one picture",
        at_least(0));
    if (field.every_kind || kind == HeadKind::kEffSeg) effseg.fields(field);
    if (field.every_kind || kind == HeadKind::kPointRend) point_rend.fields(field);
  }
};

// Objects, whose masks may overlap, or segments that share no pixel, things and stuff (models/roi_heads/panoptic.h).
// Both are learned alike.
enum class Task { kInstances, kPanoptic };
constexpr auto names_of(Task) {
  return std::array{std::pair{"instances", Task::kInstances}, std::pair{"panoptic", Task::kPanoptic}};
}

struct Config : fqdet::Config {
  MaskHeadConfig head;
  Task task = Task::kInstances;
  roi_heads::PanopticConfig panoptic;

  template <class Field>
  void fields(Field&& field) {
    fqdet::Config::fields(field);
    TESSERA_FIELD(head, "network that finds the mask of each box");
    TESSERA_FIELD(task,
                  "what is found: objects, or segments that share no pixel, things and stuff. Learning is the same; a "
                  "query is then of one class, and inference.detections is no limit");
    TESSERA_FIELD(panoptic, "how predictions become segments that share no pixel");
  }
};

}  // namespace tessera::effseg
