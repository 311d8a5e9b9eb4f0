// What the golden results of EffSeg's head alone and of the whole network have in common.
#pragma once

#include "models/effseg/head.h"
#include "tests/goldens/module_golden.h"

namespace tessera::goldens {

class EffSegGolden : protected ModuleGolden {
 public:
  using ModuleGolden::ModuleGolden;

 protected:
  Tensor unpacked_masks();  // the stored bits, f32 [T, H, W, 1] on device()

  // Ids, of which some are stored as i32 and some in part; f32 holds them exactly.
  void compare_exact(const std::string& key, const Tensor& ids) { compare(key, ids.to(DType::kF32), 0); }

  // <before>{seg,ref,roi,pos,idmap}.<stage>, those that are stored, and <before>active.
  void check_stages(const std::string& before, const std::vector<effseg::StageLogits>& stages);

  // inf.*: the masks of the RoIs, those of queries `unique`, and those of the predictions, whose queries are among
  // these: their probabilities in the padded picture, areas and scores.
  void check_masks(effseg::EffSegHead& head, const std::vector<Var>& maps, const roi_heads::Rois& rois,
                   std::span<const i64> unique, std::span<const i64> predicted, const Tensor& class_scores,
                   ImageSize padded);
};

}  // namespace tessera::goldens
