// Threads for CPU kernels.
#pragma once

#include <omp.h>

#include <algorithm>

#include "tensor/dtype.h"

namespace tessera {

// Calls body(begin, end) on ranges that together cover [0, count), on as many threads as the machine has. Ranges are
// static and start at multiples of `grain`; counts of at most one grain stay on the calling thread. Bodies must not
// throw, and must not depend on where a range starts: then the results are the same for every number of threads.
template <class Body>
void parallel_ranges(i64 count, i64 grain, const Body& body) {
  const i64 grains = (count + grain - 1) / grain;
  if (grains <= 1 || omp_get_max_threads() == 1 || omp_in_parallel()) {
    if (count > 0) body(i64{0}, count);
    return;
  }
#pragma omp parallel
  {
    const i64 threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const i64 begin = grains * thread / threads * grain, end = std::min(grains * (thread + 1) / threads * grain, count);
    if (begin < end) body(begin, end);
  }
}

}  // namespace tessera
