// What the checks and the benchmark of op cases share: making a case's inputs.
#pragma once

#include "tests/ops/op_case.h"

namespace tessera::test {

// The case's inputs as the reference sees them: f64 or integers, on the CPU; undefined where absent.
Tensors make_inputs(const OpCase& one);

// The same as leaves of the tape, on a device, floating ones as dtype; as bf16 without those that one.kept_f32 names.
// with_grad: those that one.grad names want one.
Vars make_vars(const OpCase& one, const Tensors& inputs, DType dtype, Device device, bool with_grad);

}  // namespace tessera::test
