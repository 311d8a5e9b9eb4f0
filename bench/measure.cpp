#include "bench/measure.h"

#include <time.h>

#include <algorithm>
#include <vector>

namespace tessera::bench {

namespace {

double now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

double seconds_per_call(const std::function<void()>& work, int threads) {
  constexpr double kSample = 0.05;
  constexpr size_t kSamples = 5;
  const clockid_t clock = threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  work();
  work();
  std::vector<double> samples;
  while (samples.size() < kSamples) {
    const double start = now(clock);
    int calls = 0;
    double elapsed = 0;
    for (; elapsed < kSample; elapsed = now(clock) - start, ++calls) work();
    samples.push_back(elapsed / calls);
  }
  std::nth_element(samples.begin(), samples.begin() + kSamples / 2, samples.end());
  return samples[kSamples / 2];
}

double fma_peak() {
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    double operations = 0;
    const double start = now(CLOCK_PROCESS_CPUTIME_ID);
    fma_rounds.get()(5000000, &operations);  // some 40 ms
    best = std::max(best, operations / (now(CLOCK_PROCESS_CPUTIME_ID) - start));
  }
  return best;
}

}  // namespace tessera::bench
