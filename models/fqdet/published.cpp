#include "models/published.h"

#include "models/fqdet/fqdet.h"

namespace tessera::fqdet {

std::vector<PublishedTable> published() {
  return {{.title = "Released models",
           .models = {{.config = "r50_fpn", .ap_val = 43.3, .parameters = 33.9, .flops = 99.0},
                      {.config = "r50_defenc_p3", .ap_val = 47.2, .parameters = 44.1, .flops = 234.8},
                      {.config = "v2_r50_fpn", .ap_val = 47.0, .parameters = 37.9},
                      {.config = "v2_r50_defenc_p3", .ap_val = 50.7},
                      {.config = "v2_r50_defenc_p2", .ap_val = 51.6}},
           .measured = "COCO val2017, box AP, from the authors' code and training logs",
           .input = {800, 1116}}};
}

}  // namespace tessera::fqdet
