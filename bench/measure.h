// Timing, and the speed that arithmetic could have.
#pragma once

#include <functional>

#include "ops/cpu/simd/simd_table.h"

namespace tessera::bench {

// Median seconds per call of `work`, after two calls to warm up: at least 5 samples of at least 50 ms each. With one
// thread the CPU time of the process, which other programs hardly change; with more the wall time.
double seconds_per_call(const std::function<void()>& work, int threads);

// The most f32 operations per second that one thread reaches with multiply-adds on registers, at the SIMD level in use.
double fma_peak();

// `rounds` rounds of multiply-adds on vectors; returns the operations done.
inline constinit SimdTable<void(long rounds, double* operations)> fma_rounds;

}  // namespace tessera::bench
