// A grid in the middle of its run: the threads of one block at a time, each waiting one on a fiber.
#pragma once

#include <boost/context/fiber.hpp>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <vector>

#include "tensor/cuda/emulated/cuda_runtime.h"

namespace tessera::emulated {

// 0 .. count - 1 in the order that set_order() asks for; salt: another shuffle of the same seed.
std::vector<int> ordered(int count, unsigned salt);
bool order_is_forward();

// Tells AddressSanitizer on which stack the next instruction runs. leave() before a switch, arrive() after it.
struct StackSwitch {
  void leave(const void* bottom, size_t size);
  void arrive(const void** from_bottom = nullptr, size_t* from_size = nullptr);
  void* fake_ = nullptr;
};

enum class State { kNotStarted, kReady, kAtBarrier, kAtWarpBarrier, kInWarp, kDone };

struct Fiber;

struct Thread {
  State state = State::kNotStarted;
  Fiber* fiber = nullptr;      // where it stands while it waits
  std::source_location where;  // what it waits at
};

// A stack and what runs on it.
struct Fiber {
  boost::context::fiber resume_point;
  const void* stack_bottom = nullptr;
  size_t stack_size = 0;
};

// Everything about the grid that this processor thread runs.
class Grid {
 public:
  void run(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

  void wait(State state, std::source_location where);
  const WarpValue* exchange(const WarpValue& value, std::source_location where);
  void add_copy(const AsyncCopy& copy);
  bool take_copy(AsyncCopy& copy);
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
  std::vector<WarpValue> given_, taken_;       // by the lanes in warp operations; taken_ is what all of a warp gave
  std::vector<std::deque<AsyncCopy>> copies_;  // of each thread
  std::exception_ptr error_;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  boost::context::fiber main_point_;
  StackSwitch main_switch_;
  const void* main_bottom_ = nullptr;
  size_t main_size_ = 0;

  std::unique_ptr<std::byte[]> dynamic_;
  size_t dynamic_bytes_ = 0;
  struct Piece {
    std::unique_ptr<std::byte[]> data;
    size_t bytes;
  };
  std::map<const void*, Piece> static_;
};

}  // namespace tessera::emulated
