// Threads for work beside the network's: pictures are read before it needs them, and drawn and written behind it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace tessera {

// Jobs are begun in the order in which they are given; their results, and what they throw, are had from futures:
// whoever takes these in order has an order that does not depend on the threads, and whoever holds only so many of them
// bounds the memory. A job computes on its own thread alone: OpenMP's threads stay with the caller.
class Workers {
 public:
  explicit Workers(int threads);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers();  // waits for the jobs that were begun, drops the others

  size_t size() const { return threads_.size(); }

  template <class Job>
  std::future<std::invoke_result_t<Job>> add(Job job) {
    const auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Job>()>>(std::move(job));
    std::future<std::invoke_result_t<Job>> result = task->get_future();
    give([task] { (*task)(); });
    return result;
  }

 private:
  void give(std::function<void()> job);
  void work(const std::stop_token& stop);

  std::mutex mutex_;  // guards jobs_
  std::condition_variable_any given_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::jthread> threads_;
};

}  // namespace tessera
