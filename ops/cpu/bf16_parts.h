// B of the matrix product on a tile unit, and the steps in which it is summed: B is split into bfloat16 parts as
// ops/cpu/simd/bf16_tiles.h lays them out.
#pragma once

#include "ops/cpu/bf16_gemm.h"
#include "ops/cpu/round.h"

namespace tessera::cpu {

using simd::kTileBlock, simd::kTileDepth, simd::kTilePair;
using PackB = decltype(Gemm<float>::pack_b);

// The steps of K: kTileDepth elements of a run each, or what is left of it.
struct Bf16Steps {
  i64 run_depth, per_run, count;

  explicit Bf16Steps(const Gemm<float>& gemm)
      : run_depth(gemm.run_depth), per_run(ceil_div(run_depth, kTileDepth)), count(gemm.runs * per_run) {}

  i64 run(i64 step) const { return step / per_run; }
  i64 offset(i64 step) const { return step % per_run * kTileDepth; }  // in its run
  i64 width(i64 step) const { return std::min(kTileDepth, run_depth - offset(step)); }
  i64 depth(i64 step) const { return run(step) * run_depth + offset(step); }  // where it begins in K
};

// B where all of it is split: [item][pair of column tiles][step][part][2 tiles].
struct SplitB {
  i64 pairs, pair_numbers;

  SplitB(const Gemm<float>& gemm, const Bf16Steps& steps, int parts)
      : pairs(ceil_div(gemm.columns, kTileBlock)), pair_numbers(steps.count * parts * kTilePair) {}
};

// B's columns [column, column + count), steps [first, last), as [pair of column tiles][step][part][2 tiles], the pairs
// `stride` numbers apart. Returns whether all is finite.
bool split_columns(const Gemm<float>& gemm, const simd::Bf16Kernels& kernels, const Bf16Steps& steps, int parts,
                   i64 item, i64 column, i64 count, i64 first, i64 last, i64 stride, u16* tiles);

// One pair of column tiles of the whole B, all of K.
bool split_pair(const Gemm<float>& gemm, const simd::Bf16Kernels& kernels, const Bf16Steps& steps, int parts,
                const SplitB& layout, i64 item, i64 pair, u16* b);

// pack_b of a B that was split beforehand: each number as the sum of its parts.
PackB pack_b_from_parts(const Gemm<float>& gemm, const Bf16Steps& steps, int parts, const u16* split_b);

}  // namespace tessera::cpu
