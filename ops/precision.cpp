#include "ops/precision.h"

#include <atomic>

namespace tessera {

namespace {

std::atomic<Precision> current = Precision::kHighest;

}  // namespace

Precision precision() {
  return current;
}

void set_precision(Precision precision) {
  current = precision;
}

}  // namespace tessera
