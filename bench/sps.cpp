// The gather convolution on structure-preserving sparsity (SPS): 40,000 active cells of 60 regions.
#include <fmt/core.h>

#include "bench/bench.h"

namespace tessera::bench {

void sps_cases(Cases& cases) {
  for (const i64 features : {128, 64, 32})
    for (const i64 dilation : {1, 3, 5})
      for (const char* what : {"forward", "backward"})
        cases.push_back(
            {.group = "sps convolution, 40000 cells",
             .name = fmt::format("F {} dilation {} {}", features, dilation, what),
             .peer = {{"op", "sps_conv"}, {"features", features}, {"dilation", dilation}, {"what", what}},
             .make = {},
             .operations = (what[0] == 'f' ? 1 : 2) * 2.0 * 40000 * 9 * static_cast<double>(features * features)});
}

}  // namespace tessera::bench
