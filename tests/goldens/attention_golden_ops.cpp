#include "nn/attention.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

constexpr i64 kHeads = 4;  // of the stored case, which does not say it

std::vector<Var> multi_head_attention(GoldenCall& c) {
  Random random(0);
  nn::MultiheadAttention layer(c["q"].dim(2), c.attributes.integer("num_heads", kHeads), random);
  layer.in_proj_weight = c["wi"];
  layer.in_proj_bias = c["bi"];
  layer.out_proj.weight = c["wo"];
  layer.out_proj.bias = c["bo"];
  return {layer(c["q"], c["k"], c["v"])};
}

const bool kAdded = add_golden_ops({{"multi_head_attention", {{}, multi_head_attention}}});

}  // namespace

}  // namespace tessera::goldens
