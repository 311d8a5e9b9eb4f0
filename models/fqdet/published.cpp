#include "models/published.h"

#include "models/fqdet/fqdet.h"

namespace tessera::fqdet {

PublishedTable published() {
  return {.models = {{"r50_fpn", 43.3},
                     {"r50_defenc_p3", 47.2},
                     {"v2_r50_fpn", 47.0},
                     {"v2_r50_defenc_p3", 50.7},
                     {"v2_r50_defenc_p2", 51.6}},
          .measured = "COCO val2017, box AP, from the authors' code and training logs"};
}

}  // namespace tessera::fqdet
