// RoIAlign, grid sampling and multi-scale deformable attention.
#include "autograd/grid_sample.h"
#include "autograd/roi_align.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

using Call = GoldenCall;
using Results = std::vector<Var>;

Results run_roi_align(Call& c) {
  const Attributes& a = c.attributes;
  const std::vector<i64> size = a.pair("output_size");
  return {roi_align(c["x"], c["rois"],
                    {.height = size[0],
                     .width = size[1],
                     .spatial_scale = a.number("spatial_scale", 1),
                     .sampling_ratio = a.integer("sampling_ratio", 0),
                     .aligned = a.boolean("aligned", false)})};
}

const bool kAdded = add_golden_ops({
    {"grid_sample",
     {{"x", "y"},
      [](Call& c) -> Results {
        return {grid_sample(c["x"], c["grid"], c.attributes.boolean("align_corners", false))};
      }}},
    {"roi_align", {{"x", "y"}, run_roi_align}},
});

}  // namespace

}  // namespace tessera::goldens
