// The golden results of FASSST, one file: the network at a small size in training and inference, three steps of
// descent, and parts alone on made inputs.
//
// Metadata: prefix of the parameters and prefix_inputs; size, channels, grid, classes, batch, roi_side, iam_widths;
// threshold of the inference; original and resized, of the pictures.
#pragma once

#include "models/fassst/criterion.h"
#include "models/fassst/fassst.h"
#include "tests/goldens/module_golden.h"

namespace tessera::goldens {

class FassstGolden : protected ModuleGolden {
 public:
  FassstGolden(const SafeTensors& file, Report& report) : ModuleGolden(file, report, {.forward = 1e-4}) {}
  int run();

 private:
  struct Step {  // what a training pass gives
    fassst::Fassst::Maps maps;
    Var boxes, raw, logits;  // raw: a leaf of the same values as maps.raw
    Tensor counted;
    std::vector<LossTerm> cells;
    Var mask;       // the loss of the masks
    Tensor losses;  // [4]: those of masks, location and classes without their weights, and the weighted sum
    Var total() const;
  };

  fassst::Config config() const;
  std::unique_ptr<fassst::Fassst> network(const fassst::Config& config);
  Var images() const;
  Batch batch();
  Step step(fassst::Fassst& net, const Var& images) const;

  void check_targets();
  void check_training();
  void check_gradients(fassst::Fassst& net, const Var& images, const Step& step);
  void check_descent();
  void check_detections(const Tensor& raw);
  void check_masks(fassst::Fassst& net, const fassst::Fassst::Maps& maps);
  void check_inference();
  void check_assignment();  // of crowded objects
  void check_attention(const std::string& name, ImageSize grid);

  // |got - want| / |want| of the vector of all values
  void compare_norm(const std::string& key, const Tensor& got, double tolerance);

  void compare_flags(const std::string& key, const Tensor& got);  // 0 or 1, stored as bytes

  fassst::Config config_;
  Batch batch_;
  fassst::Assignment assignment_;
  fassst::CellTargets targets_;
  Tensor regions_, wanted_;  // of the masks
};

}  // namespace tessera::goldens
