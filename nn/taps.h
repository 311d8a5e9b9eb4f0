// Taps: the named intermediate results of a forward pass, for tests, goldens and pictures. Null: nobody asked.
#pragma once

#include <map>
#include <string>

#include "autograd/var.h"

namespace tessera::nn {

using Taps = std::map<std::string, Tensor>;

inline void tap(Taps* taps, const std::string& name, const Var& x) {
  if (taps) (*taps)[name] = x.value();
}

}  // namespace tessera::nn
