// The ranks of a run as threads of the test: what stands above the communicator sees no difference.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "ops/pointwise.h"
#include "tensor/error.h"
#include "train/communicator.h"
#include "train/signals.h"

namespace tessera::test {

// Where the threads meet.
class Meeting {
 public:
  explicit Meeting(size_t size) : given_(size) {}
  size_t size() const { return given_.size(); }

  // Waits for all, and gives what each has brought.
  std::vector<std::string> bring(size_t rank, std::string mine) {
    std::unique_lock lock(mutex_);
    all_here_.wait(lock, [&] { return !leaving_ || !failure_.empty(); });  // those of the last round have left
    given_[rank] = std::move(mine);
    if (++here_ == size()) {
      leaving_ = true;
      all_here_.notify_all();
    }
    all_here_.wait(lock, [&] { return leaving_ || !failure_.empty(); });
    if (!failure_.empty()) throw RanksError(failure_);
    std::vector<std::string> all = given_;
    if (--here_ == 0) {
      leaving_ = false;
      all_here_.notify_all();
    }
    return all;
  }
  void fail(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = reason;
    all_here_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::vector<std::string> given_;
  size_t here_ = 0;
  bool leaving_ = false;
  std::string failure_;
};

class ThreadsCommunicator : public Communicator {
 public:
  ThreadsCommunicator(Meeting& meeting, size_t rank)
      : Communicator(static_cast<i64>(rank), static_cast<i64>(meeting.size()), 0), meeting_(meeting) {}
  std::string name(i64 rank) const override { return fmt::format("rank {} (thread)", rank); }
  using Communicator::gather;
  std::vector<std::string> gather(std::string_view mine) override {
    return meeting_.bring(static_cast<size_t>(rank()), std::string(mine));
  }
  void begin_sum(const Tensor& tensor) override { begun_.push_back(tensor); }
  void wait() override {
    for (const Tensor& tensor : std::exchange(begun_, {})) sum(tensor);
  }
  void sum(const Tensor& tensor) override {
    Tensor total = tensor;  // the same memory
    const std::vector<std::string> all =
        gather(std::string_view(static_cast<const char*>(tensor.raw()), tensor.bytes()));
    total.fill(0);
    for (const std::string& bytes : all) {
      Tensor other = Tensor::empty(tensor.shape(), tensor.dtype());
      std::memcpy(other.raw(), bytes.data(), bytes.size());
      ops::add_into(total, other);
    }
  }
  void broadcast(std::span<const Tensor> tensors, i64 from) override {
    for (Tensor tensor : tensors) {
      const auto all = gather(std::string_view(static_cast<const char*>(tensor.raw()), tensor.bytes()));
      std::memcpy(tensor.raw(), all[static_cast<size_t>(from)].data(), tensor.bytes());
    }
  }
  double waited() const override { return 0; }
  void leave(const std::string& reason) noexcept override {
    meeting_.fail(fmt::format("{}: {}", name(rank()), reason));
  }

 private:
  Meeting& meeting_;
  std::vector<Tensor> begun_;
};

// Does `work` on so many ranks, and gives what each failed of; empty: it did not.
inline std::vector<std::string> on_ranks(size_t count, const std::function<void(Communicator&)>& work) {
  std::array<struct sigaction, kEndingSignals.size()> before;  // threads take their SignalGuards down in any order
  for (size_t i = 0; i < before.size(); ++i) sigaction(kEndingSignals[i], nullptr, &before[i]);
  Meeting meeting(count);
  std::vector<std::string> errors(count);
  {
    std::vector<std::jthread> threads;
    for (size_t rank = 0; rank < count; ++rank)
      threads.emplace_back([&, rank] {
        ThreadsCommunicator communicator(meeting, rank);
        try {
          work(communicator);
        } catch (const std::exception& error) {
          errors[rank] = error.what();
          communicator.leave(error.what());
        }
      });
  }
  for (size_t i = 0; i < before.size(); ++i) sigaction(kEndingSignals[i], &before[i], nullptr);
  return errors;
}

}  // namespace tessera::test
