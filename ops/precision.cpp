#include "ops/precision.h"

namespace tessera {

namespace {

thread_local Arithmetic current;

}  // namespace

Arithmetic arithmetic() {
  return current;
}

ArithmeticScope::ArithmeticScope(const Arithmetic& arithmetic) : outer_(current) {
  current = arithmetic;
}

ArithmeticScope::~ArithmeticScope() {
  current = outer_;
}

}  // namespace tessera
