// LVIS annotations: what sets them apart from COCO's, and COCO detectors judged on them.
//
// LVIS files are read by load_coco() (data/coco.h): their images carry the lists of categories that were looked for.
#pragma once

#include "data/coco.h"

namespace tessera {

// LVIS says of every category how frequent it is; COCO does not.
bool is_lvis(const CocoDataset& dataset);

// The data set seen with COCO's eyes, for AP* (PointRend, EffSeg): LVIS categories whose synset is that of a COCO
// category get its id and name, others go, with their annotations and their mentions in the images' lists; annotations
// are numbered anew from 1; categories that are then mentioned nowhere go too. At most 78 are left of LVIS v0.5, which
// has no oven and no hot dog. Throws when no category has such a synset. The result is indexed.
CocoDataset with_coco_categories(const CocoDataset& lvis);

}  // namespace tessera
