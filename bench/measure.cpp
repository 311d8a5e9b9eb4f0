#include "bench/measure.h"

#include <malloc.h>
#include <omp.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "ops/matmul.h"
#include "tensor/allocator.h"
#include "tensor/device_runtime.h"
#include "tensor/tensor.h"

namespace tessera::bench {

namespace {

double now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// A line "name:   12345 kB" of /proc/self/status; 0 where the system has no such file.
double status_mb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name)) return std::stod(line.substr(name.size())) / 1024;
  return 0;
}

bool on_cpu() {
  return device() == Device{};
}

}  // namespace

Sample take_sample(const std::function<void()>& work, double seconds) {
  Sample sample;
  const double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  do {
    work();
    synchronize(device());
    ++sample.calls;
    sample.cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    sample.wall = now(CLOCK_MONOTONIC) - wall;
  } while ((on_cpu() ? std::min(sample.wall, sample.cpu) : sample.wall) < seconds);
  return sample;
}

double Sample::seconds(int threads) const {
  return (threads == 1 && on_cpu() ? cpu : wall) / static_cast<double>(calls);
}

double machine_busy_seconds() {
  std::ifstream stat("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  stat >> cpu >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
  return (user + nice + system + irq + softirq) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double resident_mb() {
  return status_mb("VmRSS:");
}

double peak_resident_mb() {
  return status_mb("VmHWM:");
}

void reset_peak_resident() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

void give_memory_back() {
  trim_cache();
  if (!on_cpu()) trim_cache(device());
  malloc_trim(0);
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

double copy_peak(int threads) {
  constexpr i64 kBytes = i64{128} << 20;  // per array
  const Tensor from = Tensor::zeros({kBytes}, DType::kU8);
  Tensor to = Tensor::zeros({kBytes}, DType::kU8);
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double start = now(CLOCK_MONOTONIC);
#pragma omp parallel num_threads(threads)
    {
      const i64 begin = kBytes * omp_get_thread_num() / threads, end = kBytes * (omp_get_thread_num() + 1) / threads;
      std::memcpy(to.data<u8>() + begin, from.data<u8>() + begin, static_cast<size_t>(end - begin));
    }
    best = std::max(best, 2 * static_cast<double>(kBytes) / (now(CLOCK_MONOTONIC) - start));
  }
  return best;
}

double device_product_peak() {
  constexpr i64 kSize = 4096;
  const Tensor a = random_tensor({kSize, kSize}), b = random_tensor({kSize, kSize});
  const auto multiply = [&] { ops::matmul(a, b); };
  take_sample(multiply, 0);
  const Sample sample = take_sample(multiply, 0.2);
  return 2.0 * kSize * kSize * kSize * static_cast<double>(sample.calls) / sample.wall;
}

double device_copy_peak() {
  constexpr i64 kBytes = i64{256} << 20;
  const Tensor from = Tensor::zeros({kBytes}, DType::kU8, device());
  Tensor to = Tensor::zeros({kBytes}, DType::kU8, device());
  const auto copy = [&] { to.copy_from(from); };
  take_sample(copy, 0);
  const Sample sample = take_sample(copy, 0.2);
  return 2 * static_cast<double>(kBytes) * static_cast<double>(sample.calls) / sample.wall;
}

}  // namespace tessera::bench
