#include "autograd/conv2d.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

using Results = std::vector<Var>;

Results run_conv_transpose2d(GoldenCall& c) {
  const Attributes& a = c.attributes;
  return {conv_transpose2d(c["x"], c["w"], c.optional("b"),
                           {.stride = a.integer("stride", 1),
                            .padding = a.integer("padding", 0),
                            .output_padding = a.integer("output_padding", 0),
                            .dilation = a.integer("dilation", 1),
                            .groups = a.integer("groups", 1)})};
}

const bool kAdded = add_golden_ops({{"conv_transpose2d", {{"x", "w", "y"}, run_conv_transpose2d}}});

}  // namespace

}  // namespace tessera::goldens
