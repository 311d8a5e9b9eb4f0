#include "data/workers.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

namespace tessera {

TEST_CASE("workers: futures in the order of the jobs have their results in that order, and what they throw") {
  for (const int threads : {1, 2, 5}) {
    Workers workers(threads);
    CHECK(workers.size() == static_cast<size_t>(threads));
    std::vector<std::future<int>> results;
    for (int i = 0; i < 200; ++i)
      results.push_back(workers.add([i] {
        if (i % 50 == 7) throw std::runtime_error(std::to_string(i));
        return i * i;
      }));
    for (int i = 0; i < 200; ++i) {
      if (i % 50 == 7)
        CHECK_THROWS_WITH(results[static_cast<size_t>(i)].get(), std::to_string(i).c_str());
      else
        CHECK(results[static_cast<size_t>(i)].get() == i * i);
    }
  }
}

TEST_CASE("workers: one thread begins the jobs one after the other, several at once") {
  std::vector<int> order;
  {
    Workers one(1);
    std::future<void> last;
    for (int i = 0; i < 50; ++i) last = one.add([&order, i] { order.push_back(i); });
    last.get();
  }
  REQUIRE(order.size() == 50);
  CHECK(std::is_sorted(order.begin(), order.end()));
  // Each of two jobs waits for the other.
  Workers two(2);
  std::promise<void> left, right;
  const auto meet = [](std::promise<void>& mine, std::promise<void>& other) {
    mine.set_value();
    return other.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready;
  };
  std::future<bool> first = two.add([&] { return meet(left, right); });
  std::future<bool> second = two.add([&] { return meet(right, left); });
  CHECK(first.get());
  CHECK(second.get());
}

TEST_CASE("workers: when they go, the job that was begun ends and the others never begin") {
  std::atomic<int> ended = 0;
  std::future<void> waiting;
  std::promise<void> begun, leave;
  std::jthread opener;
  {
    Workers one(1);
    const auto job = [&] {
      begun.set_value();
      leave.get_future().wait();
      ++ended;
    };
    one.add(job);
    waiting = one.add([&] { ++ended; });
    begun.get_future().wait();
    opener = std::jthread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the destructor waits by then
      leave.set_value();
    });
  }
  CHECK(ended == 1);
  CHECK_THROWS_AS(waiting.get(), std::future_error);
}

TEST_CASE("workers: a job computes on its own thread alone") {
  Workers one(1);
  CHECK(one.add([] { return omp_get_max_threads(); }).get() == 1);
}

}  // namespace tessera
