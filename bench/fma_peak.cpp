// Multiply-adds on registers alone: the ceiling of every f32 kernel at this SIMD level.
#include "bench/measure.h"
#include "ops/cpu/simd/vector.h"

namespace tessera::bench {
namespace {

void rounds_of_fma(long rounds, double* operations) {
  constexpr int kChains = TESSERA_SIMD_LEVEL == 2 ? 16 : 12, kSteps = 4;  // independent sums hide the latency
  vec::Vector<float> sum[kChains] = {}, factor = {}, term = {};
  for (int i = 0; i < kChains; ++i) sum[i] += static_cast<float>(i);  // equal chains would be merged
  factor += 0.5f;
  term += 1.0f;
  for (long round = 0; round < rounds; ++round) {
    for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 16
      for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
    }
  }
  for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
  // Every sum tends to 2; using it keeps the loop alive.
  *operations = static_cast<double>(rounds) * kSteps * kChains * 2 * vec::kLanes<float> * (sum[0][0] > 0 ? 1 : 0);
}

const bool kAdded = fma_rounds.add(TESSERA_SIMD_LEVEL, rounds_of_fma);

}  // namespace
}  // namespace tessera::bench
