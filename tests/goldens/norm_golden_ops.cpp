// The normalisations of one sample: layer_norm, group_norm.
#include "autograd/norm.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

using Call = GoldenCall;
using Results = std::vector<Var>;

const bool kAdded = add_golden_ops({
    {"group_norm",
     {{"x", "y"},
      [](Call& c) -> Results {
        return {group_norm(c["x"], c.attributes.integer("num_groups"), c.optional("w"), c.optional("b"),
                           c.attributes.number("eps", 1e-5))};
      }}},
    {"layer_norm",
     {{},
      [](Call& c) -> Results {
        return {layer_norm(c["x"], c.optional("w"), c.optional("b"), c.attributes.number("eps", 1e-5))};
      }}},
});

}  // namespace

}  // namespace tessera::goldens
