// A thread that moves on what was begun with MPI while others compute, and tells the other ranks that this one lives: a
// rank that computes for long is not lost, one that is stopped or cut off is. Who waits does its work meanwhile.
#pragma once

#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace tessera {

class MpiService {
 public:
  MpiService();
  // Waits until the others are as far, too; where they failed not for ever.
  ~MpiService();
  MpiService(const MpiService&) = delete;
  MpiService& operator=(const MpiService&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }
  std::string name(int rank) const;

  // An operation that MPI does not wait for, and which owns the memory that it reads and writes: it may never end.
  // Those of one lane begin in the order in which they are given, which must be the same on all ranks.
  enum Lane { kCalls, kSums };
  using Begin = std::function<int(MPI_Comm communicator, MPI_Request* request)>;
  using Ticket = std::shared_ptr<bool>;  // whether it is done
  Ticket begin(Begin operation, Lane lane = kCalls);
  void wait(const Ticket& ticket);  // throws when it can't be done
  void leave(const std::string& reason);
  void on_failure(std::function<void()> call);  // once, by whichever thread finds out

 private:
  using Clock = std::chrono::steady_clock;
  enum Note { kBeat, kLost, kLeft, kDone };  // tags of what ranks tell each other beside the operations
  struct Active {
    Begin operation;
    Lane lane;
    Ticket ticket;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  struct Sending {
    std::string text;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void run(std::promise<void>& ready);
  void connect();
  void share_cores(MPI_Comm local);
  bool turn();  // moves everything on, if no other thread does; false: nothing is under way
  bool move_on();
  void begin_asked();
  void test_active();
  void listen();
  void beat();
  void say_farewell();
  bool failed();
  void tell_of_failure();
  void send(int to, Note note, const std::string& text);
  void send_to_all(Note note, const std::string& text);
  void fail(const std::string& why, std::optional<int> lost = {});

  int rank_ = 0, size_ = 1, local_rank_ = 0;
  int threads_ = 0;  // that compute; 0: whoever set the environment decides
  std::vector<std::string> hosts_;
  MPI_Comm lanes_[2] = {MPI_COMM_NULL, MPI_COMM_NULL}, notes_ = MPI_COMM_NULL;

  std::mutex turn_;  // guards all calls of MPI, and the next three
  std::list<Active> active_;
  std::list<Sending> sendings_;
  Clock::time_point beaten_, heard_;  // when this rank told, and when the rank before it was heard of
  std::set<int> gone_;                // ranks that wait for nothing any more

  std::mutex mutex_;  // guards all below
  std::condition_variable asked_for_;
  std::deque<Active> asked_;
  bool ending_ = false;
  std::string failure_;  // why no operation can be done any more; empty: they can
  std::function<void()> on_failure_;
  std::optional<std::string> leaving_;  // what the others are still to be told

  std::jthread thread_;
};

}  // namespace tessera
