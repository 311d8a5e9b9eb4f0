// The activation that a convolution or a linear layer applies to its result in the same pass.
#pragma once

namespace tessera::ops {

enum class Activation { kNone, kRelu, kRelu6 };  // relu6: min(max(y, 0), 6)

}  // namespace tessera::ops
