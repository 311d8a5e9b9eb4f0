#include "data/workers.h"

#include <omp.h>

namespace tessera {

Workers::Workers(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

Workers::~Workers() {
  for (std::jthread& thread : threads_) thread.request_stop();
}  // the threads, declared last, are joined before anything they use goes

void Workers::give(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  given_.notify_one();
}

void Workers::work(const std::stop_token& stop) {
  omp_set_num_threads(1);  // of parallel regions that this thread enters
  std::unique_lock lock(mutex_);
  while (given_.wait(lock, stop, [&] { return !jobs_.empty(); }) && !stop.stop_requested()) {
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace tessera
