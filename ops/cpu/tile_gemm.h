// The matrix product of ops/cpu/gemm.h on a tile unit (ops/cpu/simd/tiles.h): f32 operands are split into bfloat16
// parts, sums are f32.
#pragma once

#include "ops/cpu/gemm.h"

namespace tessera::cpu {

// How many parts the precision that is set asks for, or 0: this machine has no tile unit, the product is too small for
// it, or B is packed for f32. At kHighest the unit is used where its three parts win over f32 multiply-adds.
int tile_parts(const Gemm<float>& gemm);

// C = A B (+ bias) (ReLU) with `parts` parts per number, on the unit or its plain twin. Blocks of C that an infinity,
// a NaN or a number beyond bfloat16's largest takes part in are computed by run_exactly instead: its parts would be inf
// - inf.
void run_tiles(const Gemm<float>& gemm, int parts);

}  // namespace tessera::cpu
