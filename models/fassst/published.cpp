#include "models/published.h"

#include "models/fassst/fassst.h"

namespace tessera::fassst {

// The paper's GFLOPs count two per multiply-add, ours one. usual_objects: 929 in 128 pictures of COCO (docs/fassst.md),
// about 52,000 in the 2,975 of Cityscapes.
std::vector<PublishedTable> published() {
  return {{.title = "Tables 1, 2 and 6",
           .models = {{.config = "coco_416", .ap = 34.2, .fps = 59.2, .flops = 71.6 / 2, .megabytes = 36.3},
                      {.config = "coco_416_r50_fpn", .fps = 38.8}},
           .measured = "COCO test-dev; FPS on a GTX 1080 Ti",
           .input = {416, 416},
           .found = Segmenter::Found{.objects = 36, .queries = 36},
           .usual_objects = 7},
          {.title = "Tables 3 and 4",
           .models = {{.config = "cityscapes_768", .ap = 31.1, .fps = 47.5, .flops = 112.8 / 2, .megabytes = 41.3}},
           .measured = "Cityscapes; FPS on a GTX 1080 Ti",
           .input = {768, 768},
           .found = Segmenter::Found{.objects = 49, .queries = 49},
           .usual_objects = 18}};
}

}  // namespace tessera::fassst
