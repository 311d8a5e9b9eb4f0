#include "nn/attention.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

constexpr i64 kHeads = 4;  // of the stored case, which does not say it

const bool kAdded =
    add_golden_ops({{"multi_head_attention", {{}, [](GoldenCall& c) -> std::vector<Var> {
                                                return {nn::multi_head_attention(
                                                    c["q"], c["k"], c["v"], c.attributes.integer("num_heads", kHeads),
                                                    c["wi"], c["bi"], c["wo"], c["bo"])};
                                              }}}});

}  // namespace

}  // namespace tessera::goldens
