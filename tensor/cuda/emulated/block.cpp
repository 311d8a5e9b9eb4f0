#include "tensor/cuda/emulated/block.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <random>
#include <utility>

#include "tensor/cuda/emulated/grid.h"
#include "tensor/error.h"

namespace tessera::emulated {

namespace {

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

constinit thread_local Grid* running_grid = nullptr;

Grid& current_grid(const char* what) {
  TESSERA_CHECK(running_grid, "cuda-emulated: {} outside a kernel", what);
  return *running_grid;
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

std::vector<int> ordered(int count, unsigned salt) {
  std::vector<int> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const OrderSetting& setting = order_setting();
  if (setting.order == Order::kReverse) std::reverse(order.begin(), order.end());
  if (setting.order == Order::kShuffled) std::shuffle(order.begin(), order.end(), std::mt19937(setting.seed + salt));
  return order;
}

bool order_is_forward() {
  return order_setting().order == Order::kForward;
}

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
  races::end_launch(kernel);
}

std::string set_order(const std::string& order) {
  return std::exchange(order_setting(), parse_order(order)).name;
}

void wait_for_block(std::source_location where) {
  current_grid("a barrier").wait(State::kAtBarrier, where);
}

void wait_for_warp(std::source_location where) {
  current_grid("a barrier").wait(State::kAtWarpBarrier, where);
}

void* dynamic_shared_memory() {
  return current_grid("shared memory").dynamic_shared();
}

void* static_shared_memory(const void* key, size_t bytes) {
  return current_grid("shared memory").static_shared(key, bytes);
}

const WarpValue* exchange_in_warp(const WarpValue& value, std::source_location where) {
  return current_grid("a warp operation").exchange(value, where);
}

void add_copy(const AsyncCopy& copy) {
  current_grid("a copy").add_copy(copy);
}

bool take_copy(AsyncCopy& copy) {
  return current_grid("a copy").take_copy(copy);
}

}  // namespace tessera::emulated
