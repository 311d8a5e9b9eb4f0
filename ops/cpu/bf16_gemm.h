// The matrix product of ops/cpu/gemm.h on a tile unit (ops/cpu/simd/bf16_tiles.h): f32 operands are split into bfloat16
// parts, sums are f32.
#pragma once

#include "ops/cpu/gemm.h"
#include "ops/cpu/simd/bf16_tiles.h"

namespace tessera::cpu {

// How many parts the precision that is set asks for, or 0: this machine has no tile unit, or the product is too small
// for it. At kHighest the unit is used where its three parts win over f32 multiply-adds.
int bf16_parts(const Gemm<float>& gemm);

// C = A B (+ bias) (ReLU) with `parts` parts per number, on the unit or its plain twin. Blocks of C that an infinity,
// a NaN or a number beyond bfloat16's largest takes part in are computed by run_exactly instead: its parts would be inf
// - inf. split_b: B from split_whole_b(), with the same number of parts, in place of gemm.pack_b.
void run_in_parts(const Gemm<float>& gemm, int parts, const u16* split_b = nullptr,
                  const simd::Bf16Kernels& kernels = simd::bf16_kernels.get());

// B for several products, from what `gemm` says of items, columns, runs and pack_b. Returns whether all of it has
// parts; where not, it cannot be used.
i64 split_b_size(const Gemm<float>& gemm, int parts);  // numbers
bool split_whole_b(const Gemm<float>& gemm, int parts, u16* out);

}  // namespace tessera::cpu
