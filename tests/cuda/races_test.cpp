// Which accesses of a kernel's threads race: kernels with and without what orders them.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tensor/cuda/launch.h"
#include "tests/support/check_error.h"

namespace tessera::cuda {

namespace {

constexpr int kThreads = 64;  // two warps

struct Line {
  int values[kThreads];
};

enum class Between { kNothing, kShuffle, kBallot, kWarpBarrier, kBarrier };

template <Between kBetween>
void pass() {
  if constexpr (kBetween == Between::kShuffle) warp_shuffle(1, 0);
  if constexpr (kBetween == Between::kBallot) warp_ballot(true);
  if constexpr (kBetween == Between::kWarpBarrier) warp_barrier();
  if constexpr (kBetween == Between::kBarrier) __syncthreads();
}

// Every thread writes its own value, and reads that of thread t ^ distance.
template <Between kBetween>
__global__ void exchange_kernel(int distance, int* y) {
  Line& line = shared_memory<Line>();
  const int t = static_cast<int>(threadIdx.x);
  line.values[t] = t;
  pass<kBetween>();
  y[blockIdx.x * kThreads + threadIdx.x] = line.values[t ^ distance];
}

// Every thread reads the value of thread t ^ distance, and writes its own.
template <Between kBetween>
__global__ void overwrite_kernel(int distance, int* x) {
  const int t = static_cast<int>(threadIdx.x), before = x[t ^ distance];
  pass<kBetween>();
  x[t] = before;
}

// Round after round the lanes count those with the same key: one of them adds what the others read in the next round.
template <Between kBetween>
__global__ void count_kernel(const int* keys, int* next, int* places) {
  for (int round = 0; round < 2; ++round) {
    const int key = keys[lane()];
    unsigned same = warp_ballot(key == 1);
    if (key == 0) same = ~same;
    const int before = __popc(same & ((1u << lane()) - 1));
    places[round * kWarp + lane()] = next[key] + before;
    warp_barrier();
    if (before == 0) next[key] += __popc(same);
    pass<kBetween>();
  }
}

// All threads read the same, then the last one writes it.
template <Between kBetween>
__global__ void read_by_all_kernel(int* x, int* y) {
  y[threadIdx.x] = x[0];
  pass<kBetween>();
  if (threadIdx.x == kThreads - 1) x[0] = 1;
}

__global__ void fill_kernel(int* x) {
  x[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}

__global__ void previous_block_kernel(int* x) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  x[i] = i < kThreads ? 0 : x[i - kThreads];
}

__global__ void bytes_kernel(unsigned char* x) {
  x[threadIdx.x] = 1;
}

template <Between kBetween>
__global__ void counter_kernel(int* counter, int* y) {
  atomicAdd(counter, 1);
  pass<kBetween>();
  y[blockIdx.x * kThreads + threadIdx.x] = *counter;
}

__global__ void own_array_kernel(int* y) {
  int own[8] = {};
  for (int i = 0; i < 100; ++i) own[i * static_cast<int>(threadIdx.x) % 8] += i;
  __syncthreads();
  y[threadIdx.x] = own[y[threadIdx.x] % 8];
}

// What each thread does, step by step: nothing, or an access of one of kWords words. After each step all threads may
// meet at the block's barrier, or those of a warp at theirs.
constexpr int kBlocks = 2, kSteps = 6, kWords = 2, kWarps = kThreads / kWarp;
enum class Action : int { kNothing, kRead, kWrite, kAtomic };
struct Script {
  struct Turn {
    Action action = Action::kNothing;
    int word = 0;
  };
  Turn turns[kBlocks][kThreads][kSteps];
  bool block_barriers[kSteps] = {}, warp_barriers[kBlocks][kWarps][kSteps] = {};
};

__global__ void script_kernel(const Script* script, int* words, int* sums) {
  for (int step = 0; step < kSteps; ++step) {
    const auto& [action, word] = script->turns[blockIdx.x][threadIdx.x][step];
    if (action == Action::kRead) sums[blockIdx.x * kThreads + threadIdx.x] += words[word];
    if (action == Action::kWrite) words[word] = step;
    if (action == Action::kAtomic) atomicAdd(&words[word], 1);
    if (script->warp_barriers[blockIdx.x][warp()][step]) warp_barrier();
    if (script->block_barriers[step]) __syncthreads();
  }
}

Script random_script(std::mt19937& random) {
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  Script script;
  for (int step = 0; step < kSteps; ++step) {
    script.block_barriers[step] = below(3) == 0;
    for (auto& block : script.warp_barriers)
      for (auto& warp : block) warp[step] = below(2) == 0;
  }
  const int blocks = 1 + below(8) / 7, threads = 1 + below(4), actions = 1 + below(12);
  for (int i = 0; i < actions; ++i)
    script.turns[below(blocks)][kWarp * below(kWarps) + below(threads)][below(kSteps)] = {
        static_cast<Action>(1 + below(3)), below(kWords)};
  return script;
}

// By the definition: every pair of accesses.
bool has_race(const Script& script) {
  struct Access {
    int block, thread, step;
    Script::Turn turn;
  };
  std::vector<Access> accesses;
  for (int block = 0; block < kBlocks; ++block)
    for (int thread = 0; thread < kThreads; ++thread)
      for (int step = 0; step < kSteps; ++step)
        if (script.turns[block][thread][step].action != Action::kNothing)
          accesses.push_back({block, thread, step, script.turns[block][thread][step]});
  const auto ordered = [&](const Access& a, const Access& b) {
    if (a.block != b.block) return false;
    if (a.thread == b.thread) return true;
    for (int step = std::min(a.step, b.step); step < std::max(a.step, b.step); ++step) {
      if (script.block_barriers[step]) return true;
      if (a.thread / kWarp == b.thread / kWarp && script.warp_barriers[a.block][a.thread / kWarp][step]) return true;
    }
    return false;
  };
  for (const Access& a : accesses)
    for (const Access& b : accesses) {
      const bool harmless =
          a.turn.word != b.turn.word || (a.turn.action == b.turn.action && a.turn.action != Action::kWrite);
      if (!harmless && !ordered(a, b)) return true;
    }
  return false;
}

const Launch kOneBlock{.grid = 1, .block = kThreads}, kTwoBlocks{.grid = 2, .block = kThreads};

template <auto Kernel, class... Args>
bool races(const Launch& shape, Args... args) {
  try {
    launch<Kernel>(shape, args...);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(": a race: ") != std::string::npos);
    return true;
  }
  return false;
}

std::vector<int> memory(int count = kThreads) {
  return std::vector<int>(static_cast<size_t>(count));
}

}  // namespace

TEST_CASE("races: reading what another thread wrote wants a barrier, between warps the block's") {
  std::vector<int> y = memory();
  constexpr int kLane = 1, kOtherWarp = kWarp;
  CHECK(races<exchange_kernel<Between::kNothing>>(kOneBlock, kLane, y.data()));
  CHECK(races<exchange_kernel<Between::kShuffle>>(kOneBlock, kLane, y.data()));
  CHECK(races<exchange_kernel<Between::kBallot>>(kOneBlock, kLane, y.data()));
  CHECK(!races<exchange_kernel<Between::kWarpBarrier>>(kOneBlock, kLane, y.data()));
  CHECK(!races<exchange_kernel<Between::kBarrier>>(kOneBlock, kLane, y.data()));
  CHECK(races<exchange_kernel<Between::kNothing>>(kOneBlock, kOtherWarp, y.data()));
  CHECK(races<exchange_kernel<Between::kWarpBarrier>>(kOneBlock, kOtherWarp, y.data()));
  CHECK(!races<exchange_kernel<Between::kBarrier>>(kOneBlock, kOtherWarp, y.data()));
  CHECK(!races<exchange_kernel<Between::kNothing>>(kOneBlock, 0, y.data()));
}

TEST_CASE("races: so does writing what another thread read") {
  std::vector<int> x = memory(), y = memory();
  CHECK(races<overwrite_kernel<Between::kShuffle>>(kOneBlock, 1, x.data()));
  CHECK(!races<overwrite_kernel<Between::kWarpBarrier>>(kOneBlock, 1, x.data()));
  CHECK(races<overwrite_kernel<Between::kWarpBarrier>>(kOneBlock, kWarp, x.data()));
  CHECK(!races<overwrite_kernel<Between::kBarrier>>(kOneBlock, kWarp, x.data()));
  CHECK(races<read_by_all_kernel<Between::kWarpBarrier>>(kOneBlock, x.data(), y.data()));
  CHECK(!races<read_by_all_kernel<Between::kBarrier>>(kOneBlock, x.data(), y.data()));
}

TEST_CASE("races: a warp that reads in the next round what one lane wrote in this one") {
  std::vector<int> keys = memory(kWarp), next = memory(2), places = memory(2 * kWarp);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i % 3 == 0;
  const Launch warp{.grid = 1, .block = kWarp};
  CHECK(races<count_kernel<Between::kNothing>>(warp, keys.data(), next.data(), places.data()));
  CHECK(races<count_kernel<Between::kBallot>>(warp, keys.data(), next.data(), places.data()));
  CHECK(!races<count_kernel<Between::kWarpBarrier>>(warp, keys.data(), next.data(), places.data()));
}

TEST_CASE("races: nothing orders the blocks of a launch, and launches are in order") {
  std::vector<int> x = memory(2 * kThreads);
  CHECK(!races<fill_kernel>(kTwoBlocks, x.data()));
  CHECK(!races<fill_kernel>(kOneBlock, x.data()));
  CHECK(races<previous_block_kernel>(kTwoBlocks, x.data()));
  CHECK(!races<previous_block_kernel>(kOneBlock, x.data()));
  CHECK(!races<exchange_kernel<Between::kBarrier>>(kOneBlock, 1, x.data()));
}

TEST_CASE("races: atomics race with plain accesses and not with each other") {
  std::vector<int> counter = memory(1), y = memory(2 * kThreads);
  CHECK(races<counter_kernel<Between::kWarpBarrier>>(kOneBlock, counter.data(), y.data()));
  CHECK(!races<counter_kernel<Between::kBarrier>>(kOneBlock, counter.data(), y.data()));
  CHECK(races<counter_kernel<Between::kBarrier>>(kTwoBlocks, counter.data(), y.data()));
}

TEST_CASE("races: neighbouring bytes and each thread's own variables are nobody else's") {
  std::vector<unsigned char> bytes(kThreads);
  std::vector<int> y = memory(2 * kThreads);
  CHECK(!races<bytes_kernel>(kOneBlock, bytes.data()));
  CHECK(!races<own_array_kernel>(kOneBlock, y.data()));
  // The second block's shared memory lies where the first one's was.
  CHECK(!races<exchange_kernel<Between::kBarrier>>(kTwoBlocks, 0, y.data()));
}

TEST_CASE("races: of random accesses and barriers, the launches that the definition says have a race") {
  std::mt19937 random(1);
  int racing = 0;
  constexpr int kLaunches = 2000;
  for (int i = 0; i < kLaunches; ++i) {
    const Script script = random_script(random);
    std::vector<int> words = memory(kWords), sums = memory(kBlocks * kThreads);
    const bool expected = has_race(script);
    racing += expected;
    INFO("launch ", i);
    CHECK(races<script_kernel>(kTwoBlocks, &script, words.data(), sums.data()) == expected);
  }
  CHECK(racing > kLaunches / 4);
  CHECK(racing < kLaunches * 3 / 4);
}

TEST_CASE("races: the error names the kernel, the threads and both lines") {
  std::vector<int> y = memory(2 * kThreads);
  const auto run = [&] { launch<exchange_kernel<Between::kNothing>>(kOneBlock, 1, y.data()); };
  CHECK_ERROR(run(), "exchange_kernel");
  CHECK_ERROR(run(), ": a race: thread 1 of block (0, 0, 0) writes at races_test.cpp:");
  CHECK_ERROR(run(), " what thread 0 of the same block read at races_test.cpp:");
  CHECK_ERROR(run(), ", and no barrier stands between");
  CHECK_ERROR(launch<previous_block_kernel>(kTwoBlocks, y.data()), "of another block");
  CHECK_ERROR(launch<previous_block_kernel>(kTwoBlocks, y.data()), "and nothing orders blocks");
}

}  // namespace tessera::cuda
