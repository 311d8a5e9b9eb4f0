// Work that a vendor's library refused on a device, so that a kernel of ours, which is slower, did it.
#pragma once

#include <string>

#include "tensor/dtype.h"

namespace tessera::ops {

// Counts a call, and tells stderr what was refused when it is the first one of that.
void note_fallback(const std::string& what);

i64 fallbacks();  // calls since the program began

}  // namespace tessera::ops
