#include "ops/cpu/bf16_parts.h"

#include <algorithm>
#include <bit>

namespace tessera::cpu {

bool split_columns(const Gemm<float>& gemm, const simd::Bf16Kernels& kernels, const Bf16Steps& steps, int parts,
                   i64 item, i64 column, i64 count, i64 first, i64 last, i64 stride, u16* tiles) {
  bool finite = true;
  for (i64 step = first; step < last; ++step)
    for (i64 j = 0; j < count; j += kTileBlock) {
      float x[kTileDepth * kTileBlock] = {};
      gemm.pack_b(item, steps.depth(step), steps.width(step), column + j, std::min(kTileBlock, count - j), x,
                  kTileBlock);
      u16* to = tiles + j / kTileBlock * stride + (step - first) * parts * kTilePair;
      finite &= kernels.split_columns(x, kTileBlock, parts, to);
    }
  return finite;
}

bool split_pair(const Gemm<float>& gemm, const simd::Bf16Kernels& kernels, const Bf16Steps& steps, int parts,
                const SplitB& layout, i64 item, i64 pair, u16* b) {
  const i64 column = pair * kTileBlock, count = std::min(kTileBlock, gemm.columns - column);
  return split_columns(gemm, kernels, steps, parts, item, column, count, 0, steps.count, layout.pair_numbers,
                       b + (item * layout.pairs + pair) * layout.pair_numbers);
}

PackB pack_b_from_parts(const Gemm<float>& gemm, const Bf16Steps& steps, int parts, const u16* split_b) {
  return [=, layout = SplitB(gemm, steps, parts)](i64 item, i64 k_begin, i64 depth, i64 column, i64 count, float* out,
                                                  i64 stride) {
    for (i64 k = k_begin; k < k_begin + depth; ++k, out += stride) {
      const i64 in_run = k % steps.run_depth, row = in_run % kTileDepth;
      const i64 step = k / steps.run_depth * steps.per_run + in_run / kTileDepth;
      for (i64 j = 0; j < count; ++j) {
        const i64 pair = (column + j) / kTileBlock, in_pair = (column + j) % kTileBlock;
        const u16* part = split_b + (item * layout.pairs + pair) * layout.pair_numbers + step * parts * kTilePair +
                          in_pair / 16 * (kTilePair / 2) + row / 2 * 32 + in_pair % 16 * 2 + row % 2;
        out[j] = 0;
        for (int p = 0; p < parts; ++p) out[j] += std::bit_cast<float>(u32{part[p * kTilePair]} << 16);
      }
    }
  };
}

i64 split_b_size(const Gemm<float>& gemm, int parts) {
  const SplitB layout(gemm, Bf16Steps(gemm), parts);
  return gemm.items * layout.pairs * layout.pair_numbers;
}

bool split_whole_b(const Gemm<float>& gemm, int parts, u16* out) {
  const Bf16Steps steps(gemm);
  const SplitB layout(gemm, steps, parts);
  bool finite = true;
#pragma omp parallel for schedule(dynamic) reduction(&& : finite)
  for (i64 job = 0; job < gemm.items * layout.pairs; ++job)
    finite =
        split_pair(gemm, simd::bf16_kernels.get(), steps, parts, layout, job / layout.pairs, job % layout.pairs, out) &&
        finite;
  return finite;
}

}  // namespace tessera::cpu
