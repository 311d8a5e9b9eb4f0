#include "tensor/cuda/emulated/block.h"

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "tensor/address_sanitizer.h"
#include "tensor/cuda/emulated/cuda_runtime.h"
#include "tensor/error.h"

#ifdef TESSERA_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

thread_local constinit uint3 threadIdx{}, blockIdx{};
thread_local constinit dim3 blockDim{}, gridDim{};

namespace tessera::emulated {

namespace {

namespace context = boost::context;

constexpr int kPoison = 0xFF;          // shared memory that nobody wrote: NaN, or -1
constexpr size_t kStack = 256 * 1024;  // bytes per fiber; the page below is protected

// Tells AddressSanitizer on which stack the next instruction runs. leave() before a switch, arrive() after it.
struct StackSwitch {
  void leave([[maybe_unused]] const void* bottom, [[maybe_unused]] size_t size) {
#ifdef TESSERA_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&fake_, bottom, size);
#endif
  }
  void arrive([[maybe_unused]] const void** from_bottom = nullptr, [[maybe_unused]] size_t* from_size = nullptr) {
#ifdef TESSERA_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fake_, from_bottom, from_size);
#endif
  }
  void* fake_ = nullptr;
};

enum class Order { kForward, kReverse, kShuffled };

struct OrderSetting {
  std::string name = "forward";
  Order order = Order::kForward;
  unsigned seed = 0;
};

OrderSetting parse_order(const std::string& text) {
  if (text == "forward") return {text, Order::kForward};
  if (text == "reverse") return {text, Order::kReverse};
  if (text.starts_with("shuffled:"))
    return {text, Order::kShuffled,
            static_cast<unsigned>(std::strtoul(text.c_str() + std::strlen("shuffled:"), nullptr, 10))};
  fail("cuda-emulated: order '{}' is none of forward, reverse, shuffled:SEED", text);
}

OrderSetting& order_setting() {
  static OrderSetting setting = [] {
    const char* text = std::getenv("TESSERA_EMULATED_ORDER");
    return text ? parse_order(text) : OrderSetting{};
  }();
  return setting;
}

std::vector<int> ordered(int count, unsigned salt) {
  std::vector<int> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const OrderSetting& setting = order_setting();
  if (setting.order == Order::kReverse) std::reverse(order.begin(), order.end());
  if (setting.order == Order::kShuffled) std::shuffle(order.begin(), order.end(), std::mt19937(setting.seed + salt));
  return order;
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

enum class State { kNotStarted, kReady, kAtBarrier, kInWarp, kDone };

struct Fiber;

struct Thread {
  State state = State::kNotStarted;
  Fiber* fiber = nullptr;      // where it stands while it waits
  std::source_location where;  // what it waits at
};

// A stack and what runs on it.
struct Fiber {
  context::fiber resume_point;
  const void* stack_bottom = nullptr;
  size_t stack_size = 0;
};

// Everything about the grid that this processor thread runs.
class Grid {
 public:
  void run(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

  void wait(State state, std::source_location where);
  const std::uint64_t* exchange(std::uint64_t value, std::source_location where);
  void* dynamic_shared() { return dynamic_.get(); }
  void* static_shared(const void* key, size_t bytes);

 private:
  void run_block();
  void run_threads(Fiber& fiber);  // on a fiber: threads that have not begun, until one waits
  void switch_to(Fiber& fiber);
  Fiber& idle_fiber();
  void enter(int thread);
  bool release();
  [[noreturn]] void report_stuck();
  std::string describe(State state) const;
  void reset_shared();

  const char* kernel_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  int count_ = 0;           // threads of a block
  std::vector<int> order_;  // of the threads
  int next_ = 0;            // position in order_ of the next thread to begin
  int current_ = 0;         // the thread that runs
  std::vector<Thread> threads_;
  std::vector<std::uint64_t> given_, taken_;  // by the lanes in warp operations; taken_ is what all of a warp gave
  std::exception_ptr error_;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  context::fiber main_point_;
  StackSwitch main_switch_;
  const void* main_bottom_ = nullptr;
  size_t main_size_ = 0;
  Fiber* current_fiber_ = nullptr;

  std::unique_ptr<std::byte[]> dynamic_;
  size_t dynamic_bytes_ = 0;
  struct Piece {
    std::unique_ptr<std::byte[]> data;
    size_t bytes;
  };
  std::map<const void*, Piece> static_;
};

constinit thread_local Grid* running_grid = nullptr;

Grid& current_grid(const char* what) {
  TESSERA_CHECK(running_grid, "cuda-emulated: {} outside a kernel", what);
  return *running_grid;
}

void Grid::run(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  TESSERA_CHECK(threads >= 1 && threads <= kMaxThreads && block.z <= kMaxBlockZ,
                "cuda: {}: a block of {} x {} x {} threads; at most {} in all and {} along z", kernel, block.x, block.y,
                block.z, kMaxThreads, kMaxBlockZ);
  TESSERA_CHECK(grid.x <= kMaxGridX && grid.y <= kMaxGridYZ && grid.z <= kMaxGridYZ,
                "cuda: {}: a grid of {} x {} x {} blocks; at most {} x {} x {}", kernel, grid.x, grid.y, grid.z,
                kMaxGridX, kMaxGridYZ, kMaxGridYZ);
  TESSERA_CHECK(shared_bytes <= kMaxShared, "cuda: {}: {} bytes of shared memory per block; at most {}", kernel,
                shared_bytes, kMaxShared);
  kernel_ = kernel;
  body_ = &body;
  count_ = static_cast<int>(threads);
  order_ = ordered(count_, 0);
  given_.resize(threads);
  taken_.resize(threads);
  static_.clear();
  blockDim = block;
  gridDim = grid;
  dynamic_bytes_ = shared_bytes;
  dynamic_ = std::make_unique<std::byte[]>(shared_bytes);
  const size_t blocks = size_t{grid.x} * grid.y * grid.z;
  const bool in_order = order_setting().order == Order::kForward;
  const std::vector<int> block_order = in_order ? std::vector<int>() : ordered(static_cast<int>(blocks), 1);
  for (size_t i = 0; i < blocks; ++i) {
    const size_t at = in_order ? i : static_cast<size_t>(block_order[i]);
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    run_block();
  }
  body_ = nullptr;
}

void Grid::run_block() {
  reset_shared();
  threads_.assign(static_cast<size_t>(count_), {});
  next_ = 0;
  while (next_ < count_) switch_to(idle_fiber());
  while (release()) {
    for (const int t : order_) {
      Thread& thread = threads_[static_cast<size_t>(t)];
      if (thread.state != State::kReady) continue;
      enter(t);
      switch_to(*thread.fiber);
    }
  }
}

// Lets those go on whose wait is over: warps whose lanes have all come, or the block at its barrier. False when all
// threads have ended.
bool Grid::release() {
  bool released = false;
  for (int first = 0; first < count_; first += kWarp) {
    const int last = std::min(first + kWarp, count_);
    int waiting = 0;
    for (int t = first; t < last; ++t) waiting += threads_[static_cast<size_t>(t)].state == State::kInWarp;
    if (waiting == 0) continue;
    bool same = waiting == kWarp;
    for (int t = first + 1; t < last && same; ++t)
      same = same_place(threads_[static_cast<size_t>(t)].where, threads_[static_cast<size_t>(first)].where);
    if (!same) continue;
    std::copy(given_.begin() + first, given_.begin() + last, taken_.begin() + first);
    for (int t = first; t < last; ++t) threads_[static_cast<size_t>(t)].state = State::kReady;
    released = true;
  }
  if (released) return true;
  int done = 0, at_barrier = 0;
  const Thread* first = nullptr;
  bool same = true;
  for (const Thread& thread : threads_) {
    done += thread.state == State::kDone;
    if (thread.state != State::kAtBarrier) continue;
    ++at_barrier;
    if (!first) first = &thread;
    same = same && same_place(thread.where, first->where);
  }
  if (done == count_) return false;
  if (at_barrier < count_ || !same) report_stuck();
  for (Thread& thread : threads_) thread.state = State::kReady;
  return true;
}

// "threads 0..31 wait at softmax.cu:40", for every place and state.
std::string Grid::describe(State state) const {
  std::map<std::string, std::vector<int>> places;
  for (int t = 0; t < count_; ++t) {
    const Thread& thread = threads_[static_cast<size_t>(t)];
    if (thread.state != state) continue;
    const std::string place =
        state == State::kDone
            ? "have ended"
            : fmt::format("wait at the {} of {}:{}", state == State::kAtBarrier ? "barrier" : "warp operation",
                          thread.where.file_name(), thread.where.line());
    places[place].push_back(t);
  }
  std::string text;
  for (const auto& [place, threads] : places)
    text += fmt::format("; {} thread{} ({}{}) {}", threads.size(), threads.size() == 1 ? "" : "s", threads.front(),
                        threads.size() == 1 ? "" : fmt::format("..{}", threads.back()), place);
  return text;
}

void Grid::report_stuck() {
  const std::string text = describe(State::kAtBarrier) + describe(State::kInWarp) + describe(State::kDone);
  const uint3 block = blockIdx;
  fail("cuda-emulated: {}, block ({}, {}, {}) of {} threads: not all of them come to the same place{}", kernel_,
       block.x, block.y, block.z, count_, text);
}

void Grid::enter(int thread) {
  current_ = thread;
  const unsigned t = static_cast<unsigned>(thread);
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

void Grid::switch_to(Fiber& fiber) {
  current_fiber_ = &fiber;
  main_switch_.leave(fiber.stack_bottom, fiber.stack_size);
  fiber.resume_point = std::move(fiber.resume_point).resume();
  main_switch_.arrive();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

Fiber& Grid::idle_fiber() {
  if (!idle_.empty()) {
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return *fiber;
  }
  fibers_.push_back(std::make_unique<Fiber>());
  Fiber& fiber = *fibers_.back();
  context::protected_fixedsize_stack allocator(kStack);
  const context::stack_context stack = allocator.allocate();
  fiber.stack_bottom = static_cast<std::byte*>(stack.sp) - stack.size;
  fiber.stack_size = stack.size;
  fiber.resume_point = context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack), allocator,
                                      [this, &fiber](context::fiber&& main) {
                                        main_point_ = std::move(main);
                                        run_threads(fiber);
                                        return std::move(main_point_);
                                      });
  return fiber;
}

void Grid::run_threads(Fiber& fiber) {
  StackSwitch().arrive(&main_bottom_, &main_size_);
  for (;;) {
    while (next_ < count_ && !error_) {
      const int thread = order_[static_cast<size_t>(next_++)];
      threads_[static_cast<size_t>(thread)].fiber = &fiber;
      enter(thread);
      try {
        (*body_)();
      } catch (...) {
        error_ = std::current_exception();
      }
      threads_[static_cast<size_t>(thread)].state = State::kDone;
    }
    idle_.push_back(&fiber);
    StackSwitch here;
    here.leave(main_bottom_, main_size_);
    main_point_ = std::move(main_point_).resume();
    here.arrive();
  }
}

void Grid::wait(State state, std::source_location where) {
  Thread& thread = threads_[static_cast<size_t>(current_)];
  thread.state = state;
  thread.where = where;
  StackSwitch here;
  here.leave(main_bottom_, main_size_);
  main_point_ = std::move(main_point_).resume();
  here.arrive();
}

const std::uint64_t* Grid::exchange(std::uint64_t value, std::source_location where) {
  const size_t thread = static_cast<size_t>(current_), first = thread / kWarp * kWarp;
  given_[thread] = value;
  wait(State::kInWarp, where);
  return &taken_[first];
}

void* Grid::static_shared(const void* key, size_t bytes) {
  Piece& piece = static_[key];
  if (!piece.data) {
    piece = {std::make_unique<std::byte[]>(bytes), bytes};
    std::memset(piece.data.get(), kPoison, bytes);
    size_t total = dynamic_bytes_;
    for (const auto& [other, existing] : static_) total += existing.bytes;
    TESSERA_CHECK(total <= kMaxShared, "cuda: {}: {} bytes of shared memory per block; at most {}", kernel_, total,
                  kMaxShared);
  }
  return piece.data.get();
}

void Grid::reset_shared() {
  if (dynamic_bytes_ > 0) std::memset(dynamic_.get(), kPoison, dynamic_bytes_);
  for (auto& [key, piece] : static_) std::memset(piece.data.get(), kPoison, piece.bytes);
}

// The grids that run or can be used again, with their fibers. They are never destroyed: a fiber that waits cannot be.
struct Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Grid>> all;
  std::vector<Grid*> free;
};

Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

Grid* take_grid() {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  if (p.free.empty()) return p.all.emplace_back(std::make_unique<Grid>()).get();
  Grid* grid = p.free.back();
  p.free.pop_back();
  return grid;
}

void give_back(Grid* grid) {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  p.free.push_back(grid);
}

}  // namespace

void run_grid(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  TESSERA_CHECK(!running_grid, "cuda-emulated: {}: launched from inside a kernel", kernel);
  running_grid = take_grid();
  try {
    running_grid->run(kernel, grid, block, shared_bytes, body);
  } catch (...) {
    running_grid = nullptr;  // some of its fibers still wait: it is not used again
    throw;
  }
  give_back(std::exchange(running_grid, nullptr));
}

std::string set_order(const std::string& order) {
  return std::exchange(order_setting(), parse_order(order)).name;
}

void wait_for_block(std::source_location where) {
  current_grid("a barrier").wait(State::kAtBarrier, where);
}

void* dynamic_shared_memory() {
  return current_grid("shared memory").dynamic_shared();
}

void* static_shared_memory(const void* key, size_t bytes) {
  return current_grid("shared memory").static_shared(key, bytes);
}

const std::uint64_t* exchange_in_warp(std::uint64_t value, std::source_location where) {
  return current_grid("a warp operation").exchange(value, where);
}

}  // namespace tessera::emulated
