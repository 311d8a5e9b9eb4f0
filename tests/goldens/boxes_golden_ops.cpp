// Boxes: golden operators, and the class-wise suppression of the detector, stored in a file of its own with boxes,
// scores, labels, the kept indices and the threshold "thr".
#include "autograd/boxes.h"
#include "ops/boxes.h"
#include "tests/goldens/golden_ops.h"
#include "tests/goldens/network_goldens.h"

namespace tessera::goldens {

namespace {

using Results = std::vector<Var>;

const bool kOpsAdded = add_golden_ops({
    {"box_iou", {{}, [](GoldenCall& c) -> Results { return {Var(ops::box_iou(c["a"].value(), c["b"].value()))}; }}},
    {"generalized_box_iou_loss",
     {{},
      [](GoldenCall& c) -> Results { return {generalized_box_iou_loss(c["a"], c["b"].value(), Reduction::kNone)}; }}},
    {"nms",
     {{},
      [](GoldenCall& c) -> Results {
        return {Var(ops::nms(c["b"].value(), c["s"].value(), c.attributes.number("iou_threshold")))};
      }}},
});

int check_nms(const SafeTensors& file, Report& report) {
  const Device device = report.device();
  const Tensor keep = ops::batched_nms(file["boxes"].to(device), file["scores"].to(device), file["labels"].to(device),
                                       std::stod(file.metadata().at("thr")));
  const bool same = keep.shape() == file["keep"].shape();
  report.check(file.path().stem().string() + "/keep", same ? relative_error(keep.to_host(), file["keep"]) : INFINITY,
               0);
  return 1;
}

const bool kNetworkAdded = add_network({"batched_nms",
                                        [](const SafeTensors& file) {
                                          return file.contains("boxes") && file.contains("scores") &&
                                                 file.contains("labels") && file.contains("keep") &&
                                                 file.metadata().contains("thr");
                                        },
                                        check_nms});

}  // namespace

}  // namespace tessera::goldens
