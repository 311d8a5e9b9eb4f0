// Matrix products.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Transpose { kNone, kFirst, kSecond, kBoth };

}  // namespace tessera::ops
