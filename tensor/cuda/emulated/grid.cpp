#include "tensor/cuda/emulated/grid.h"

#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstring>
#include <utility>

#include "tensor/address_sanitizer.h"
#include "tensor/error.h"

#ifdef TESSERA_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

thread_local constinit uint3 threadIdx{}, blockIdx{};
thread_local constinit dim3 blockDim{}, gridDim{};

namespace tessera::emulated {

namespace context = boost::context;

namespace {

constexpr int kPoison = 0xFF;          // shared memory that nobody wrote: NaN, or -1
constexpr size_t kStack = 256 * 1024;  // bytes per fiber; the page below is protected

bool for_warp(State state) {
  return state == State::kAtWarpBarrier || state == State::kInWarp;
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

// Numbers in ascending order, those in a row as one range: "0..4, 7, 9..12", of many the first ranges alone.
std::string ranges(const std::vector<int>& numbers) {
  constexpr int kMost = 4;
  std::string text;
  size_t first = 0;
  for (int count = 0; first < numbers.size(); ++count) {
    if (count == kMost) return text + ", ...";
    size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", numbers[first]);
    if (last > first) text += fmt::format("..{}", numbers[last]);
    first = last + 1;
  }
  return text;
}

}  // namespace

void StackSwitch::leave([[maybe_unused]] const void* bottom, [[maybe_unused]] size_t size) {
#ifdef TESSERA_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(&fake_, bottom, size);
#endif
}

void StackSwitch::arrive([[maybe_unused]] const void** from_bottom, [[maybe_unused]] size_t* from_size) {
#ifdef TESSERA_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(fake_, from_bottom, from_size);
#endif
}

void Grid::run(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  TESSERA_CHECK(threads >= 1 && block.z <= kMaxBlockZ,
                "cuda: {}: a block of {} x {} x {} threads; at least 1 along each axis and at most {} along z", kernel,
                block.x, block.y, block.z, kMaxBlockZ);
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
  copies_.resize(threads);
  static_.clear();
  blockDim = block;
  gridDim = grid;
  dynamic_bytes_ = shared_bytes;
  dynamic_ = std::make_unique<std::byte[]>(shared_bytes);
  races::begin_launch();
  const size_t blocks = size_t{grid.x} * grid.y * grid.z;
  const bool in_order = order_is_forward();
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
  races::begin_block();
  threads_.assign(static_cast<size_t>(count_), {});
  for (auto& of_thread : copies_) of_thread.clear();
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
    for (int t = first; t < last; ++t) waiting += for_warp(threads_[static_cast<size_t>(t)].state);
    if (waiting == 0) continue;
    bool same = waiting == kWarp;
    for (int t = first + 1; t < last && same; ++t)
      same = same_place(threads_[static_cast<size_t>(t)].where, threads_[static_cast<size_t>(first)].where);
    if (!same) continue;
    if (threads_[static_cast<size_t>(first)].state == State::kAtWarpBarrier) races::warp_barrier(first / kWarp);
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
  races::block_barrier();
  return true;
}

// "; 32 threads (0..31) wait at the barrier of softmax.cu:40", for every place of a state.
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
    text +=
        fmt::format("; {} thread{} ({}) {}", threads.size(), threads.size() == 1 ? "" : "s", ranges(threads), place);
  return text;
}

void Grid::report_stuck() {
  const std::string text =
      describe(State::kAtBarrier) + describe(State::kAtWarpBarrier) + describe(State::kInWarp) + describe(State::kDone);
  const uint3 block = blockIdx;
  fail("cuda-emulated: {}, block ({}, {}, {}) of {} threads: not all of them come to the same place{}", kernel_,
       block.x, block.y, block.z, count_, text);
}

void Grid::enter(int thread) {
  current_ = thread;
  const unsigned t = static_cast<unsigned>(thread);
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
  const Fiber& fiber = *threads_[static_cast<size_t>(thread)].fiber;
  races::enter(thread, fiber.stack_bottom, fiber.stack_size);
}

void Grid::switch_to(Fiber& fiber) {
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
        const races::Watching on(true);
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
  const races::Watching off(false);
  Thread& thread = threads_[static_cast<size_t>(current_)];
  thread.state = state;
  thread.where = where;
  StackSwitch here;
  here.leave(main_bottom_, main_size_);
  main_point_ = std::move(main_point_).resume();
  here.arrive();
}

const WarpValue* Grid::exchange(const WarpValue& value, std::source_location where) {
  const races::Watching off(false);
  const size_t thread = static_cast<size_t>(current_), first = thread / kWarp * kWarp;
  given_[thread] = value;
  wait(State::kInWarp, where);
  return &taken_[first];
}

void Grid::add_copy(const AsyncCopy& copy) {
  const races::Watching off(false);
  copies_[static_cast<size_t>(current_)].push_back(copy);
}

bool Grid::take_copy(AsyncCopy& copy) {
  const races::Watching off(false);
  auto& copies = copies_[static_cast<size_t>(current_)];
  if (copies.empty()) return false;
  copy = copies.front();
  copies.pop_front();
  return true;
}

void* Grid::static_shared(const void* key, size_t bytes) {
  const races::Watching off(false);
  Piece& piece = static_[key];
  if (!piece.data) {
    piece = {std::make_unique<std::byte[]>(bytes), bytes};
    std::memset(piece.data.get(), kPoison, bytes);
    size_t own = 0;
    for (const auto& [other, existing] : static_) own += existing.bytes;
    TESSERA_CHECK(own <= kMaxStaticShared, "cuda: {}: {} bytes of static shared memory; at most {}", kernel_, own,
                  kMaxStaticShared);
    TESSERA_CHECK(own + dynamic_bytes_ <= kMaxShared, "cuda: {}: {} bytes of shared memory per block; at most {}",
                  kernel_, own + dynamic_bytes_, kMaxShared);
  }
  return piece.data.get();
}

void Grid::reset_shared() {
  const auto reset = [](std::byte* data, size_t bytes) {
    std::memset(data, kPoison, bytes);
    races::forget(data, bytes);
  };
  if (dynamic_bytes_ > 0) reset(dynamic_.get(), dynamic_bytes_);
  for (auto& [key, piece] : static_) reset(piece.data.get(), piece.bytes);
}

}  // namespace tessera::emulated
