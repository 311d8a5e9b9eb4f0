#include "models/published.h"

#include "models/sparseinst/sparseinst.h"

namespace tessera::sparseinst {

std::vector<PublishedTable> published() {
  constexpr double kNone = kNotPublished;
  // AP of val2017 from the authors' README, the others of test-dev: SparseInst, Table 1 (those with AP50) and the model
  // list of the authors' repository.
  return {{.title = "Table 1 and the models of the authors' repository",
           .models = {{"r50_base", 32.8, 33.2, kNone, kNone, kNone, kNone, kNone, 44.3},
                      {"r50vd_base", 34.1, 34.5, kNone, kNone, kNone, kNone, kNone, 42.6},
                      {"r50_giam", 33.4, 34.0, kNone, kNone, kNone, kNone, kNone, 44.6},
                      {"r50_giam_soft", 33.6, kNone, kNone, kNone, kNone, kNone, kNone, 44.6},
                      {"r50_giam_aug", 34.2, 34.7, 55.3, 36.6, 14.3, 36.2, 50.7, 44.6},
                      {"r50_dcn_giam_aug", 36.4, 36.8, 57.6, 38.9, 15.0, 38.2, 55.2, 41.6},
                      {"r50vd_giam_aug", 35.6, 36.1, 57.0, 38.2, 15.0, 37.7, 53.1, 42.8},
                      {"r50vd_dcn_giam_aug", 37.4, 37.9, 59.2, 40.2, 15.7, 39.4, 56.9, 40.0},
                      {"r50vd_dcn_giam_aug_448", kNone, 35.5, kNone, kNone, kNone, kNone, kNone, 58.5},
                      {"r50vd_dcn_giam_aug_640", 37.7, 38.1, kNone, kNone, kNone, kNone, kNone, 39.3},
                      {"cspdarknet53_giam", 35.1},
                      {"r101_giam", 34.9, 35.5},
                      {"r101_dcn_giam", 36.4, 36.9},
                      {"pvt_v2_b1_giam", 35.3, 36.0, kNone, kNone, kNone, kNone, kNone, 33.5},
                      {"pvt_v2_b2_li_giam", 37.2, 38.2, kNone, kNone, kNone, kNone, kNone, 26.5}},
           .measured = "COCO test-dev (APval: val2017), FPS on one RTX 2080 Ti"}};
}

PublishedLatencies published_latencies() {
  return {.title = "Table 8",
          .config = "r50_giam",
          .measured = "one RTX 2080 Ti, modules one after the other",
          .parts = {"backbone", "encoder", "decoder", "post-processing"},
          .rows = {{512, {10.0, 2.5, 4.1, 1.8}}, {640, {13.3, 2.9, 5.6, 2.1}}}};
}

}  // namespace tessera::sparseinst
