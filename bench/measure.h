// Timing, memory, and the speeds that this machine could have.
#pragma once

#include <functional>

#include "ops/cpu/simd/simd_table.h"

namespace tessera::bench {

// Some calls in a row.
struct Sample {
  long calls = 0;
  double wall = 0, cpu = 0;  // seconds of all calls; cpu: of all threads of the process

  // One thread is judged by the CPU time, which other programs hardly change; more threads, and other devices, by the
  // wall time.
  double seconds(int threads) const;
};

// Calls for at least so long, at least one; each is waited for where it runs on another device.
Sample take_sample(const std::function<void()>& work, double seconds);

// Seconds for which the processors of this machine were busy, since it started.
double machine_busy_seconds();

// Memory of this process, as the system counts it.
double resident_mb();
double peak_resident_mb();  // since the last reset
void reset_peak_resident();
void give_memory_back();  // what this process holds but does not use

// The most f32 operations per second that one thread reaches with multiply-adds on registers, at the SIMD level in use.
double fma_peak();

// Bytes per second that `threads` threads read and write when they copy arrays far larger than the caches.
double copy_peak(int threads);

// The same of another device: the operations of a large f32 matrix product at the precision that is set, and the bytes
// of copying within its memory.
double device_product_peak();
double device_copy_peak();

// `rounds` rounds of multiply-adds on vectors; returns the operations done.
inline constinit SimdTable<void(long rounds, double* operations)> fma_rounds;

}  // namespace tessera::bench
