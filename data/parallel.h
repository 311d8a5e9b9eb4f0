// A loop over independent items, shared out among the OpenMP threads.
#pragma once

#include <exception>
#include <functional>
#include <mutex>

#include "tensor/dtype.h"

namespace tessera {

// f(i) for i in [0, n), in any order; a thread takes `grain` items at a time. Of the exceptions thrown the one of the
// lowest i is passed on, so that the error a user sees does not depend on the threads.
template <class F>
void parallel_for(i64 n, F&& f, int grain = 16) {
  std::exception_ptr error;
  i64 failed = n;
#pragma omp parallel for schedule(dynamic, grain)
  for (i64 i = 0; i < n; ++i) {
    try {
      f(i);
    } catch (...) {
#pragma omp critical(tessera_parallel_for)
      if (i < failed) {
        failed = i;
        error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

// How far a long piece of work has come; called by one thread at a time.
using Counted = std::function<void(i64 done, i64 of)>;

// The same, each followed by counted(how many are done, n).
template <class F>
void counted_for(i64 n, const Counted& counted, F&& f, int grain) {
  std::mutex mutex;
  i64 count = 0;
  const auto work = [&](i64 i) {
    f(i);
    const std::lock_guard lock(mutex);
    counted(++count, n);
  };
  parallel_for(n, work, grain);
}

}  // namespace tessera
