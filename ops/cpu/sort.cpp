// Sorting on the CPU: rows are independent; ops/cpu/sort_order.h has the order.
#include "ops/sort.h"

#include "ops/cpu/parallel.h"
#include "ops/cpu/sort_order.h"

namespace tessera::ops {
namespace {

constexpr i64 kGrain = 2048;  // elements per thread below which starting threads costs more than it gives

void sort_cpu(const Tensor& x, bool descending, Tensor& values, Tensor& indices) {
  dispatch_float(x.dtype(), "sort", [&]<class T>() {
    const i64 K = x.dim(-1);
    if (x.numel() == 0) return;
    TESSERA_CHECK(static_cast<u64>(K) <= cpu::SortOrder<T>::kLongest, "sort: rows of {} numbers are too long", K);
    const T* from = x.data<T>();
    T* value = values.data<T>();
    i64* index = indices.data<i64>();
    parallel_ranges(x.numel() / K, std::max<i64>(1, kGrain / K), [&](i64 begin, i64 end) {
      cpu::SortOrder<T> order;
      for (i64 row = begin; row < end; ++row) {
        i64 at = row * K;
        for (const auto& entry : order(from + row * K, K, descending)) {
          value[at] = from[row * K + static_cast<i64>(entry.index)];
          index[at++] = static_cast<i64>(entry.index);
        }
      }
    });
  });
}

const bool kAdded = sort_kernels.add(DeviceKind::kCpu, sort_cpu);

}  // namespace
}  // namespace tessera::ops
