// The emulated device: what it runs, in which order, and what it refuses.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <set>
#include <vector>

#include "ops/cuda/block_reduce.h"
#include "ops/matmul.h"
#include "tests/support/check_error.h"

namespace tessera::cuda {

namespace {

constexpr int kThreads = 128;

// The order for the time of a test.
class Order {
 public:
  explicit Order(const std::string& order) : before_(emulated::set_order(order)) {}
  ~Order() { emulated::set_order(before_); }

 private:
  std::string before_;
};
const char* const kOrders[] = {"forward", "reverse", "shuffled:1", "shuffled:2"};

// --- Kernels, right and wrong.

__global__ void number_kernel(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += static_cast<int>(1000 * block + thread);
}

__global__ void stride_kernel(i64 n, int* out) {
  for (const i64 i : indices(n)) out[i] += 1;
}

struct Line {
  float values[kThreads];
};

__global__ void greedy_kernel() {
  struct Shared {
    float values[12 * 1024 + 1];
  };
  shared_memory<Shared>().values[threadIdx.x] = 0;
}

// y[t] = x[127 - t], through shared memory; without the barrier a thread reads what its partner has not written.
template <bool kBarrier>
__global__ void reverse_kernel(const float* x, float* y) {
  Line& line = shared_memory<Line>();
  const unsigned t = threadIdx.x;
  line.values[t] = x[t];
  if constexpr (kBarrier) __syncthreads();
  y[t] = line.values[blockDim.x - 1 - t];
}

__global__ void dynamic_kernel(float* y) {
  float* shared = dynamic_shared<float>();
  const unsigned t = threadIdx.x;
  shared[t] = static_cast<float>(t);
  __syncthreads();
  y[t] = shared[(t + 1) % blockDim.x];
}

__global__ void unwritten_kernel(float* y) {
  y[threadIdx.x] = shared_memory<Line>().values[threadIdx.x];
}

__global__ void sums_kernel(const float* x, float* by_warp, float* by_block) {
  by_warp[threadIdx.x] = warp_sum(x[threadIdx.x]);
  const float total = block_sum(x[threadIdx.x]), largest = block_reduce<MaxOf>(x[threadIdx.x]);
  by_block[threadIdx.x] = total + 1000 * largest;
}

__global__ void shuffles_kernel(int* down, int* up, int* swapped, int* chosen, unsigned* ballot) {
  const int t = static_cast<int>(threadIdx.x);
  down[t] = warp_shuffle_down(t, 3);
  up[t] = warp_shuffle_up(t, 3);
  swapped[t] = warp_shuffle_xor(t, 16);
  chosen[t] = warp_shuffle(t, 5);
  ballot[t] = warp_ballot(t % 3 == 0);
}

__global__ void early_exit_kernel() {
  if (threadIdx.x < 5) return;
  __syncthreads();
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x % 2 == 0)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void lonely_lane_kernel(int* out) {
  if (threadIdx.x != 7) out[threadIdx.x] = warp_shuffle(1, 0);
}

__global__ void lonely_sum_kernel(int* out) {
  if (threadIdx.x != 7) out[threadIdx.x] = warp_sum(1);
}

__global__ void atomic_kernel(int* counter) {
  atomicAdd(counter, 1);
}

__global__ void launching_kernel() {
  launch<early_exit_kernel>({.grid = 1, .block = 32});
}

__global__ void throwing_kernel() {
  if (threadIdx.x == 3) fail("from inside");
  __syncthreads();
}

std::vector<float> ramp() {
  std::vector<float> x(kThreads);
  for (int i = 0; i < kThreads; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i);
  return x;
}

}  // namespace

TEST_CASE("emulated: every thread of every block runs once, with its own indices, in each order") {
  for (const char* name : kOrders) {
    const Order order(name);
    std::vector<int> out(3 * 2 * 2 * 8 * 4 * 2);
    launch<number_kernel>({.grid = {3, 2, 2}, .block = {8, 4, 2}}, out.data());
    for (size_t i = 0; i < out.size(); ++i) CHECK(out[i] == static_cast<int>(i / 64 * 1000 + i % 64));
  }
}

TEST_CASE("emulated: indices(n) cover every element once, whatever the grid") {
  for (const i64 n : {i64{0}, i64{1}, i64{255}, i64{1000}, i64{1} << 10}) {
    std::vector<int> out(static_cast<size_t>(n));
    launch<stride_kernel>(over(n), n, out.data());
    launch<stride_kernel>({.grid = 2, .block = 64}, n, out.data());
    for (const int count : out) CHECK(count == 2);
  }
}

TEST_CASE("emulated: threads wait for each other at a barrier, in each order") {
  const std::vector<float> x = ramp();
  for (const char* name : kOrders) {
    const Order order(name);
    std::vector<float> y(kThreads), z(kThreads);
    launch<reverse_kernel<true>>({.grid = 1, .block = kThreads}, x.data(), y.data());
    launch<dynamic_kernel>({.grid = 1, .block = kThreads, .shared = kThreads * sizeof(float)}, z.data());
    for (int t = 0; t < kThreads; ++t) {
      CHECK(y[static_cast<size_t>(t)] == static_cast<float>(kThreads - 1 - t));
      CHECK(z[static_cast<size_t>(t)] == static_cast<float>((t + 1) % kThreads));
    }
  }
}

TEST_CASE("emulated: a missing barrier shows as NaN, for shared memory holds NaN until it is written") {
  const std::vector<float> x = ramp();
  for (const char* name : kOrders) {
    const Order order(name);
    std::vector<float> y(kThreads);
    launch<reverse_kernel<false>>({.grid = 1, .block = kThreads}, x.data(), y.data());
    CHECK(std::any_of(y.begin(), y.end(), [](float value) { return value != value; }));
  }
  // Also in the second block, where the first has written before.
  std::vector<float> y(kThreads);
  launch<reverse_kernel<true>>({.grid = 1, .block = kThreads}, x.data(), y.data());
  launch<unwritten_kernel>({.grid = 2, .block = kThreads}, y.data());
  for (const float value : y) CHECK(value != value);
}

TEST_CASE("emulated: sums and maxima over warps and blocks, in each order with the same bits") {
  std::vector<float> x = ramp(), first;
  x[77] = 0.1f;
  for (const char* name : kOrders) {
    const Order order(name);
    std::vector<float> by_warp(kThreads), by_block(kThreads);
    launch<sums_kernel>({.grid = 1, .block = kThreads}, x.data(), by_warp.data(), by_block.data());
    CHECK(by_warp[0] == 31 * 32 / 2);
    CHECK(by_warp[40] == 32 * 32 + 31 * 32 / 2);
    for (const float value : by_block) CHECK(value == doctest::Approx(127 * 128 / 2 - 77 + 0.1 + 1000 * 127));
    if (first.empty()) first = by_block;
    CHECK(by_block == first);
  }
}

TEST_CASE("emulated: the lanes of a warp exchange values") {
  for (const char* name : kOrders) {
    const Order order(name);
    std::vector<int> down(64), up(64), swapped(64), chosen(64);
    std::vector<unsigned> ballot(64);
    launch<shuffles_kernel>({.grid = 1, .block = 64}, down.data(), up.data(), swapped.data(), chosen.data(),
                            ballot.data());
    for (int t = 0; t < 64; ++t) {
      const size_t at = static_cast<size_t>(t);
      const int lane = t % 32, warp = t / 32 * 32;
      CHECK(down[at] == (lane + 3 < 32 ? t + 3 : t));
      CHECK(up[at] == (lane >= 3 ? t - 3 : t));
      CHECK(swapped[at] == warp + (lane ^ 16));
      CHECK(chosen[at] == warp + 5);
      CHECK(ballot[at] == (t < 32 ? 0x49249249u : 0x92492492u));
    }
  }
}

TEST_CASE("emulated: a barrier that only part of a block meets is reported with kernel, block and threads") {
  const auto run = [] { launch<early_exit_kernel>({.grid = 1, .block = 64}); };
  CHECK_ERROR(run(), "early_exit_kernel, block (0, 0, 0) of 64 threads");
  CHECK_ERROR(run(), "59 threads (5..63) wait at the barrier of");
  CHECK_ERROR(run(), "5 threads (0..4) have ended");
  CHECK_ERROR(launch<two_barriers_kernel>({.grid = 1, .block = 32}), "16 threads (0, 2, 4, 6, ...) wait at");
  // The next launch is not disturbed.
  std::vector<int> out(100);
  launch<stride_kernel>(over(100), i64{100}, out.data());
  CHECK(out[99] == 1);
}

TEST_CASE("emulated: a warp operation without all its lanes is reported") {
  std::vector<int> out(32);
  CHECK_ERROR(launch<lonely_lane_kernel>({.grid = 1, .block = 32}, out.data()),
              "31 threads (0..6, 8..31) wait at the warp operation");
}

TEST_CASE("emulated: of a helper that waits, the kernel's line is named") {
  std::vector<int> out(32);
  CHECK_ERROR(launch<lonely_sum_kernel>({.grid = 1, .block = 32}, out.data()), "emulated_test.cpp:");
}

TEST_CASE("emulated: a launch beyond a GPU's limits is refused") {
  const auto refused = [](const Launch& shape, const char* message) {
    CHECK_ERROR(launch<early_exit_kernel>(shape), message);
  };
  refused({.grid = 1, .block = {96, 3, 1}}, "early_exit_kernel: a block of 96 x 3 x 1 threads; at most 256");
  refused({.grid = 1, .block = {1, 2, 65}}, "a block of 1 x 2 x 65 threads; at least 1 along each axis and at most 64");
  refused({.grid = {1, 65536}, .block = 32}, "a grid of 1 x 65536 x 1 blocks");
  refused({.grid = 1, .block = 32, .shared = 1 << 20}, "1048576 bytes of shared memory per block");
  CHECK_ERROR(launch<greedy_kernel>({.grid = 1, .block = 32}), "greedy_kernel: 49156 bytes of static shared memory");
  std::vector<float> y(32);
  const size_t left = 99 * 1024 - sizeof(Line);  // beside the kernel's own
  launch<unwritten_kernel>({.grid = 1, .block = 32, .shared = left}, y.data());
  CHECK_ERROR(launch<unwritten_kernel>({.grid = 1, .block = 32, .shared = left + 1}, y.data()),
              "unwritten_kernel: 101377 bytes of shared memory per block; at most 101376");
}

TEST_CASE("emulated: an empty grid runs nothing, atomics count every thread, an error in a kernel comes out") {
  launch<early_exit_kernel>({.grid = 0, .block = 32});
  int counter = 0;
  launch<atomic_kernel>({.grid = 10, .block = 32}, &counter);
  CHECK(counter == 320);
  CHECK_ERROR(launch<throwing_kernel>({.grid = 1, .block = 32}), "from inside");
  CHECK_ERROR(launch<launching_kernel>({.grid = 1, .block = 1}), "launched from inside a kernel");
  CHECK_ERROR(emulated::set_order("sideways"), "none of forward, reverse, shuffled:SEED");
}

TEST_CASE("emulated: products differ from the CPU's in the last bit, where they are no whole numbers") {
  const Device device{DeviceKind::kCudaEmulated, 0};
  const Tensor a = Tensor::from(std::vector<float>{1, 2, 0.1f, 0.7f}, {2, 2});
  const Tensor here = ops::matmul(a, a), there = ops::matmul(a.to(device), a.to(device)).to_host();
  for (i64 i = 0; i < 4; ++i)  // 1.2, 3.4, 0.17 and 0.69
    CHECK(std::abs(std::bit_cast<i32>(here.data<float>()[i]) - std::bit_cast<i32>(there.data<float>()[i])) == 1);
  const Tensor whole = Tensor::from(std::vector<float>{1, 2, 3, -4}, {2, 2});
  CHECK(ops::matmul(whole.to(device), whole.to(device)).to_host().data<float>()[3] == 22);
}

TEST_CASE("emulated: kernels are named as the source names them") {
  CHECK(detail::kernel_name<number_kernel>() == "number_kernel");
  CHECK(detail::kernel_name<reverse_kernel<true>>() == "reverse_kernel<true>");
}

}  // namespace tessera::cuda
