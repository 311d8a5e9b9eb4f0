// Rows times factors on the CPU: tensor by tensor, threads take rows, each row is a vector loop. Memory limits it.
#include "ops/scale_rows.h"

namespace tessera::ops {

namespace {

constexpr i64 kWorthThreads = 1 << 15;

template <class T>
void scale_rows_of(ScaledRows& entry) {
  const i64 count = entry.target.numel(), rows = entry.scale ? entry.scale.numel() : 1;
  if (count == 0) return;
  const i64 columns = count / rows;
  T* target = entry.target.data<T>();
  const T* source = entry.source.data<T>();
  const T* scale = entry.scale ? entry.scale.data<T>() : nullptr;
#pragma omp parallel for schedule(static) if (count > kWorthThreads)
  for (i64 r = 0; r < rows; ++r) {
    const T factor = scale ? scale[r] : T{1};
    T* to = target + r * columns;
    const T* from = source + r * columns;
    if (entry.accumulate) {
#pragma omp simd
      for (i64 i = 0; i < columns; ++i) to[i] += from[i] * factor;
    } else {
#pragma omp simd
      for (i64 i = 0; i < columns; ++i) to[i] = from[i] * factor;
    }
  }
}

void scale_rows_cpu(std::span<ScaledRows> list, Tensor&) {
  for (ScaledRows& entry : list) {
    TESSERA_CHECK(entry.target.dtype() == entry.source.dtype(), "scale_rows: from {} to {} is not supported on cpu",
                  name_of(entry.source.dtype()), name_of(entry.target.dtype()));
    dispatch_float(entry.target.dtype(), "scale_rows", [&]<class T>() { scale_rows_of<T>(entry); });
  }
}

[[maybe_unused]] const bool kAdded = scale_rows_kernels.add(DeviceKind::kCpu, scale_rows_cpu);

}  // namespace

}  // namespace tessera::ops
