// RoIAlign, grid sampling and multi-scale deformable attention.
#include "autograd/grid_sample.h"
#include "autograd/ms_deform_attn.h"
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

Results run_ms_deform_attn(Call& c) {
  const std::vector<double> sizes = c.attributes.numbers("shapes");  // h and w of each level
  TESSERA_CHECK(sizes.size() % 2 == 0, "shapes has {} numbers, expected pairs", sizes.size());
  std::vector<ops::LevelSize> levels;
  for (size_t i = 0; i < sizes.size(); i += 2)
    levels.push_back({static_cast<i64>(sizes[i]), static_cast<i64>(sizes[i + 1])});
  return {ms_deform_attn(c["value"], levels, c["loc"], c["attn"])};
}

const bool kAdded = add_golden_ops({
    {"grid_sample",
     {{"x", "y"},
      [](Call& c) -> Results {
        return {grid_sample(c["x"], c["grid"], c.attributes.boolean("align_corners", false))};
      }}},
    {"ms_deform_attn", {{}, run_ms_deform_attn}},
    {"roi_align", {{"x", "y"}, run_roi_align}},
});

}  // namespace

}  // namespace tessera::goldens
