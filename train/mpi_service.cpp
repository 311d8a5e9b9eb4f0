#include "train/mpi_service.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "train/communicator.h"

namespace tessera {

namespace {

using namespace std::chrono_literals;

constexpr auto kBeatEvery = 1s;
constexpr auto kLostAfter = 12s;  // without a sign of life: a rank that was stopped, or whose machine is cut off
constexpr auto kFarewell = 12s;   // for the others to save and to end, once one failed
constexpr std::chrono::microseconds kIdle = 2ms, kBusy = 100us;  // from one look to the next
constexpr auto kSpin = 2ms;                                      // who waits looks without a pause for so long

std::string in_words(int code) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return {text, static_cast<size_t>(length)};
}

void check(int code, const char* call) {
  if (code != MPI_SUCCESS) tessera::fail("MPI: {} failed: {}", call, in_words(code));
}

}  // namespace

MpiService::MpiService() {
  std::promise<void> ready;
  thread_ = std::jthread([&] { run(ready); });
  ready.get_future().get();
  if (threads_ > 0) omp_set_num_threads(threads_);  // of the thread that calls
}

MpiService::~MpiService() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  asked_for_.notify_one();
}

std::string MpiService::name(int rank) const {
  return fmt::format("rank {} ({})", rank, hosts_[static_cast<size_t>(rank)]);
}

MpiService::Ticket MpiService::begin(Begin operation, Lane lane) {
  auto ticket = std::make_shared<bool>(false);
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) throw RanksError(failure_);
    asked_.push_back({std::move(operation), lane, ticket});
  }
  asked_for_.notify_one();
  return ticket;
}

void MpiService::wait(const Ticket& ticket) {
  const auto begun = Clock::now();
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (*ticket) return;
      if (!failure_.empty()) throw RanksError(failure_);
    }
    turn();
    if (Clock::now() - begun < kSpin)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(kBusy);
  }
}

void MpiService::leave(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) return;  // they know, or told it
    failure_ = reason;
    leaving_ = reason;
  }
  asked_for_.notify_one();
}

void MpiService::fail(const std::string& why, std::optional<int> lost) {
  if (lost) gone_.insert(*lost);
  {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = why;
  }
  tell_of_failure();
}

void MpiService::on_failure(std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  on_failure_ = std::move(call);
}

void MpiService::tell_of_failure() {
  std::function<void()> call;
  {
    const std::lock_guard lock(mutex_);
    call = std::exchange(on_failure_, nullptr);
  }
  if (call) call();
}

void MpiService::run(std::promise<void>& ready) {
  try {
    connect();
  } catch (...) {
    ready.set_exception(std::current_exception());
    return;
  }
  beaten_ = heard_ = Clock::now();
  ready.set_value();
  while (true) {
    const bool busy = turn();
    std::unique_lock lock(mutex_);
    if (ending_ && !leaving_) break;
    if (busy) {
      lock.unlock();
      std::this_thread::sleep_for(kBusy);
    } else {
      asked_for_.wait_for(lock, kIdle, [&] { return !asked_.empty() || ending_ || leaving_; });
    }
  }
  say_farewell();
  if (!failed()) MPI_Finalize();  // else it would wait for operations that never end
}

void MpiService::connect() {
  int provided = 0;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  TESSERA_CHECK(provided >= MPI_THREAD_SERIALIZED, "MPI: this library can't be called by several threads");
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  for (MPI_Comm* made : {&lanes_[kCalls], &lanes_[kSums], &notes_}) {
    check(MPI_Comm_dup(MPI_COMM_WORLD, made), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(*made, MPI_ERRORS_RETURN);
  }
  MPI_Comm local = MPI_COMM_NULL;
  check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local), "MPI_Comm_split_type");
  MPI_Comm_rank(local, &local_rank_);
  share_cores(local);
  MPI_Comm_free(&local);

  std::array<char, MPI_MAX_PROCESSOR_NAME> own{};
  int length = 0;
  MPI_Get_processor_name(own.data(), &length);
  std::string all(own.size() * static_cast<size_t>(size_), '\0');
  const int bytes = static_cast<int>(own.size());
  check(MPI_Allgather(own.data(), bytes, MPI_CHAR, all.data(), bytes, MPI_CHAR, MPI_COMM_WORLD), "MPI_Allgather");
  for (int r = 0; r < size_; ++r) hosts_.emplace_back(all.c_str() + own.size() * static_cast<size_t>(r));
}

// Each process computes with the cores that it owns: the launcher may have bound it to some; those that it shares with
// other ranks of its host are divided.
void MpiService::share_cores(MPI_Comm local) {
  if (std::getenv("OMP_NUM_THREADS")) return;
  cpu_set_t own;
  CPU_ZERO(&own);
  if (sched_getaffinity(0, sizeof own, &own) != 0) return;
  int ranks = 0;
  MPI_Comm_size(local, &ranks);
  std::vector<cpu_set_t> all(static_cast<size_t>(ranks));
  const int bytes = static_cast<int>(sizeof own);
  check(MPI_Allgather(&own, bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, local), "MPI_Allgather");
  const auto sharing = std::ranges::count_if(all, [&](const cpu_set_t& other) { return CPU_EQUAL(&own, &other); });
  threads_ = std::max(1, CPU_COUNT(&own) / static_cast<int>(sharing));
}

bool MpiService::turn() {
  const std::unique_lock lock(turn_, std::try_to_lock);
  if (!lock) return true;
  try {
    return move_on();
  } catch (const std::exception& error) {
    fail(fmt::format("{}: {}", name(rank_), error.what()));
    return false;
  }
}

bool MpiService::move_on() {
  begin_asked();
  test_active();
  listen();
  beat();
  std::optional<std::string> leaving;
  {
    const std::lock_guard lock(mutex_);
    leaving.swap(leaving_);
  }
  if (leaving) {
    send_to_all(kLeft, *leaving);
    tell_of_failure();
  }
  std::erase_if(sendings_, [](Sending& sending) {
    int sent = 0;
    MPI_Test(&sending.request, &sent, MPI_STATUS_IGNORE);
    return sent != 0;
  });
  return !active_.empty();
}

void MpiService::begin_asked() {
  std::deque<Active> asked;
  {
    const std::lock_guard lock(mutex_);
    asked.swap(asked_);
    if (!failure_.empty()) return;
  }
  for (Active& operation : asked) {
    Active& active = active_.emplace_back(std::move(operation));
    check(active.operation(lanes_[active.lane], &active.request), "an operation");
  }
}

void MpiService::test_active() {
  std::vector<Ticket> ended;
  std::erase_if(active_, [&](Active& active) {
    int done = 0;
    check(MPI_Test(&active.request, &done, MPI_STATUS_IGNORE), "an operation");
    if (done) ended.push_back(active.ticket);
    return done != 0;
  });
  if (ended.empty()) return;
  const std::lock_guard lock(mutex_);
  for (const Ticket& ticket : ended) *ticket = true;
}

void MpiService::listen() {
  while (true) {
    int there = 0, length = 0;
    MPI_Status status;
    check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, notes_, &there, &status), "MPI_Iprobe");
    if (!there) return;
    MPI_Get_count(&status, MPI_CHAR, &length);
    std::string text(static_cast<size_t>(length), '\0');
    const int from = status.MPI_SOURCE;
    check(MPI_Recv(text.data(), length, MPI_CHAR, from, status.MPI_TAG, notes_, MPI_STATUS_IGNORE), "MPI_Recv");
    switch (static_cast<Note>(status.MPI_TAG)) {
      case kBeat:
        heard_ = Clock::now();
        break;
      case kLost:
        fail(text, (from + size_ - 1) % size_);
        break;  // whom it listens to
      case kLeft:
        fail(fmt::format("{}: {}", name(from), text));
        break;
      case kDone:
        gone_.insert(from);
        break;
    }
  }
}

// Each rank tells the next one that it lives, and the last the first.
void MpiService::beat() {
  const auto now = Clock::now();
  if (now - beaten_ >= kBeatEvery) {
    beaten_ = now;
    send((rank_ + 1) % size_, kBeat, "");
  }
  const int before = (rank_ + size_ - 1) % size_;
  if (now - heard_ < kLostAfter || gone_.contains(before)) return;
  const std::string why = fmt::format("{} has not been heard of for {} s: it was stopped, or its machine is cut off",
                                      name(before), kLostAfter / 1s);
  for (int r = 0; r < size_; ++r)
    if (r != rank_) send(r, kLost, why);
  fail(why, before);
}

void MpiService::say_farewell() {
  send_to_all(kDone, "");
  const auto begun = Clock::now();
  while (static_cast<int>(gone_.size()) < size_ - 1 && !(failed() && Clock::now() - begun > kFarewell)) {
    turn();
    std::this_thread::sleep_for(kIdle);
  }
}

bool MpiService::failed() {
  const std::lock_guard lock(mutex_);
  return !failure_.empty();
}

void MpiService::send(int to, Note note, const std::string& text) {
  Sending& sending = sendings_.emplace_back(Sending{text});
  MPI_Isend(sending.text.data(), static_cast<int>(sending.text.size()), MPI_CHAR, to, note, notes_, &sending.request);
}

void MpiService::send_to_all(Note note, const std::string& text) {
  for (int r = 0; r < size_; ++r)
    if (r != rank_) send(r, note, text);
}

}  // namespace tessera
