#include "models/published.h"

#include "models/fassst/fassst.h"

namespace tessera::fassst {

PublishedTable published() {
  return {.models = {{.config = "coco_416", .ap = 34.2, .fps = 59.2},
                     {.config = "coco_416_r50_fpn", .ap = 34.9, .fps = 38.8},
                     {.config = "cityscapes_768", .ap = 31.1, .fps = 47.5}},
          .measured = "AP: COCO test-dev, Cityscapes; images per second on a GTX 1080 Ti"};
}

}  // namespace tessera::fassst
