#include "models/published.h"

#include "models/effseg/effseg.h"

namespace tessera::effseg {

PublishedTable published() {
  constexpr double kNone = kNotPublished;
  // Tables 3 and 5 of the paper, then the models of the authors' repository. All but AP are val2017's.
  return {.models = {{"mask_rcnn_r50_fpn", 38.8, 39.3, 59.1, 42.2, 19.4, 41.2, 57.4, 14.4},
                     {"point_rend_r50_fpn", 39.5, 40.1, 59.3, 42.9, 19.5, 42.2, 58.9, 10.2},
                     {"refine_mask_r50_fpn", 40.0, 40.5, 59.4, 43.7, 20.0, 42.2, 60.0, 10.3},
                     {"effseg_r50_fpn", 40.1, 40.5, 59.7, 43.5, 20.1, 42.8, 59.4, 11.3},
                     {"mask_rcnn_r50_fpn_24", 39.5},
                     {"point_rend_r50_fpn_24", 40.6},
                     {"refine_mask_r50_fpn_24", 40.8},
                     {"effseg_r50_fpn_24", 41.1},
                     {"mask_rcnn_r50_defenc", 40.7},
                     {"point_rend_r50_defenc", 41.5},
                     {"refine_mask_r50_defenc", 42.0},
                     {"effseg_r50_defenc", 42.1},
                     {"effseg_r50_fpn_mlp", 39.5},
                     {"effseg_r50_fpn_conv", 39.8},
                     {"effseg_r50_fpn_deform_conv", 39.8},
                     {"effseg_r50_fpn_dense_sfm", 39.8, kNone, kNone, kNone, kNone, kNone, kNone, 9.2},
                     {"mask_rcnn_v2_r50_fpn", 41.3},
                     {"point_rend_v2_r50_fpn", 42.0},
                     {"refine_mask_v2_r50_fpn", 42.7},
                     {"effseg_v2_r50_fpn", 42.4}},
          .measured = "COCO val2017 (AP: test-dev), FPS on one A100"};
}

}  // namespace tessera::effseg
