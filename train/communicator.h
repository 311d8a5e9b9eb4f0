// The processes that train one model together: each has a device and a share of every batch, and what they compute is
// what one process with the whole batch computes. A launcher (mpirun, srun) starts them; MPI connects them, in a module
// of its own that is loaded where there are several: libtessera_mpi.so beside libtessera.so, where the build found MPI.
// docs/distributed.md is the guide.
//
// All calls but those that are said to be a rank's own are collective: every rank makes the same ones in the same
// order; only where begin_sum() comes among the others may differ. One that another rank can't join, since it failed,
// was stopped or is cut off, throws; the message names that rank, its host and what it failed of.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"
#include "tensor/tensor.h"

namespace tessera {

// What a call throws then: nothing is wrong with this rank.
class RanksError : public Error {
 public:
  using Error::Error;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  i64 rank() const { return rank_; }
  i64 size() const { return size_; }
  i64 local_rank() const { return local_rank_; }  // among those of this host: the number of its device
  bool first() const { return rank_ == 0; }       // who writes and prints
  virtual std::string name(i64 rank) const = 0;   // "rank 1 (node7)"

  // What every rank gave, by rank.
  virtual std::vector<std::string> gather(std::string_view mine) = 0;
  std::vector<std::vector<double>> gather(std::span<const double> mine);  // as many numbers on every rank

  // Begins to add the ranks' tensors up, in place, in a fixed order: the result has the same bits on all ranks. One
  // shape, f32 or f64, on whatever device. It is there when wait() returns, which waits for all that were begun.
  virtual void begin_sum(const Tensor& tensor) = 0;
  virtual void wait() = 0;
  virtual void sum(const Tensor& tensor) = 0;  // waits for this one alone

  // Makes the tensors equal on all ranks: to those of rank `from`.
  virtual void broadcast(std::span<const Tensor> tensors, i64 from = 0) = 0;

  // A rank's own: tells the others that this one can't go on, so that their calls throw. The first reason counts.
  virtual void leave(const std::string& reason) noexcept = 0;

  virtual double waited() const = 0;  // a rank's own: seconds that the host waited for others since the beginning

 protected:
  Communicator(i64 rank, i64 size, i64 local_rank) : rank_(rank), size_(size), local_rank_(local_rank) {}
  static void check_sum(const Tensor& tensor);  // throws where a type cannot be added up

 private:
  i64 rank_, size_, local_rank_;
};

// One process, for which there is nothing to do.
Communicator& single_process();

// Of the processes that were started together with this one, or single_process()'s like where it was started alone.
// Called once. Where a launcher started several and the build has no MPI, that is an error.
std::shared_ptr<Communicator> connect_processes();

// "Open MPI 4.1.4", or why there is none and how to get it. Throws nothing.
std::string mpi_support();
bool has_mpi();

}  // namespace tessera
