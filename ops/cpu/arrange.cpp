// Copies and scatters on the CPU: runs of neighbouring elements are moved as bytes.
#include "ops/arrange.h"

#include <algorithm>
#include <cstring>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/pointwise.h"

namespace tessera {

namespace {

constexpr i64 kGrainBytes = 1 << 17;  // bytes per thread below which starting threads costs more than it gives

// copy(i) for count copies of `bytes` each, over the threads.
template <class Copy>
void for_each_copy(i64 count, i64 bytes, const Copy& copy) {
  parallel_ranges(count, std::max<i64>(1, kGrainBytes / std::max<i64>(1, bytes)), [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) copy(i);
  });
}

const std::byte* bytes_of(const Tensor& x) {
  return static_cast<const std::byte*>(x.raw());
}
std::byte* bytes_of(Tensor& x) {
  return static_cast<std::byte*>(x.raw());
}
i64 element_bytes(const Tensor& x) {
  return static_cast<i64>(size_of(x.dtype()));
}

void slice_cpu(const ops::SliceDims& dims, const Tensor& whole, Tensor& part) {
  const i64 row = dims.inner * element_bytes(whole), run = dims.count * row;
  const std::byte* in = bytes_of(whole);
  std::byte* out = bytes_of(part);
  for_each_copy(dims.outer, run, [&](i64 o) {
    std::memcpy(out + o * run, in + (o * dims.size + dims.begin) * row, static_cast<size_t>(run));
  });
}

void slice_into_cpu(const ops::SliceDims& dims, const Tensor& part, Tensor& whole) {
  const i64 row = dims.inner * element_bytes(whole), run = dims.count * row;
  const std::byte* in = bytes_of(part);
  std::byte* out = bytes_of(whole);
  for_each_copy(dims.outer, run, [&](i64 o) {
    std::memcpy(out + (o * dims.size + dims.begin) * row, in + o * run, static_cast<size_t>(run));
  });
}

// Checked before the threads start, because a body of parallel_ranges must not throw.
const i64* checked_rows(const Tensor& rows, i64 count, const char* op) {
  const i64* row = rows.data<i64>();
  for (i64 k = 0; k < rows.numel(); ++k)
    TESSERA_CHECK(0 <= row[k] && row[k] < count, "{}: index {} at position {} is outside [0, {})", op, row[k], k,
                  count);
  return row;
}

void gather_rows_cpu(const Tensor& x, const Tensor& rows, Tensor& y) {
  const i64* row = checked_rows(rows, x.dim(0), "gather_rows");
  const i64 run = x.shape().numel(1, x.rank()) * element_bytes(x);
  const std::byte* in = bytes_of(x);
  std::byte* out = bytes_of(y);
  for_each_copy(rows.numel(), run,
                [&](i64 k) { std::memcpy(out + k * run, in + row[k] * run, static_cast<size_t>(run)); });
}

void flat_rows_cpu(const Tensor& indices, i64 size, Tensor& rows) {
  const i64* index = checked_rows(indices, size, "flat_rows");
  const i64 K = indices.dim(1);
  for (i64 i = 0; i < indices.numel(); ++i) rows.data<i64>()[i] = i / K * size + index[i];
}

// The threads share the columns, so that every sum is taken in the order of k.
void scatter_add_rows_cpu(const Tensor& x, const Tensor& rows, Tensor& y) {
  const i64* row = checked_rows(rows, y.dim(0), "scatter_add_rows");
  const i64 count = rows.numel(), inner = y.shape().numel(1, y.rank());
  dispatch_float(x.dtype(), "scatter_add_rows", [&]<class T>() {
    const auto add_into = simd::add_into.get<T>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_ranges(inner, std::max<i64>(16, kGrainBytes / 4 / std::max<i64>(1, count)), [&](i64 begin, i64 end) {
      for (i64 k = 0; k < count; ++k) add_into(in + k * inner + begin, out + row[k] * inner + begin, end - begin);
    });
  });
}

// Keeps the k best of a row in a heap whose front is the worst of them. Positions come in ascending order, so a value
// equal to the worst one does not displace it.
template <class T>
void top_k_row(const T* x, i64 n, i64 k, T* values, i64* indices) {
  struct Entry {
    T value;
    i64 index;
  };
  const auto better = [](const Entry& a, const Entry& b) {
    return a.value > b.value || (a.value == b.value && a.index < b.index);
  };
  std::vector<Entry> heap;
  heap.reserve(static_cast<size_t>(k));
  for (i64 i = 0; i < n; ++i) {
    if (i >= k) {
      if (!(x[i] > heap.front().value)) continue;
      std::pop_heap(heap.begin(), heap.end(), better);
      heap.pop_back();
    }
    heap.push_back({x[i], i});
    std::push_heap(heap.begin(), heap.end(), better);
  }
  std::sort_heap(heap.begin(), heap.end(), better);
  for (const Entry& entry : heap) {
    *values++ = entry.value;
    *indices++ = entry.index;
  }
}

void top_k_cpu(const Tensor& x, Tensor& values, Tensor& indices) {
  dispatch_float(x.dtype(), "top_k", [&]<class T>() {
    const T* in = x.data<T>();
    bool nan = false;
    for (i64 i = 0; i < x.numel(); ++i) nan |= in[i] != in[i];
    TESSERA_CHECK(!nan, "top_k: the input {} contains NaN", x.shape());
    const i64 n = x.dim(-1), k = values.dim(-1);
    if (k == 0) return;
    T* value = values.data<T>();
    i64* index = indices.data<i64>();
    for_each_copy(x.numel() / n, n * element_bytes(x),
                  [&](i64 row) { top_k_row(in + row * n, n, k, value + row * k, index + row * k); });
  });
}

void top_k_backward_cpu(const Tensor& gy, const Tensor& indices, Tensor& gx) {
  const i64 n = gx.dim(-1), k = gy.dim(-1);
  const i64* index = checked_rows(indices, n, "top_k_backward");
  dispatch_float(gy.dtype(), "top_k_backward", [&]<class T>() {
    const T* in = gy.data<T>();
    T* out = gx.data<T>();
    for (i64 i = 0; i < gy.numel(); ++i) out[i / k * n + index[i]] = in[i];
  });
}

constexpr DeviceKind kCpu = DeviceKind::kCpu;

[[maybe_unused]] const bool kAdded[] = {
    ops::slice_kernels.add(kCpu, slice_cpu),
    ops::slice_into_kernels.add(kCpu, slice_into_cpu),
    ops::gather_rows_kernels.add(kCpu, gather_rows_cpu),
    ops::flat_rows_kernels.add(kCpu, flat_rows_cpu),
    ops::scatter_add_rows_kernels.add(kCpu, scatter_add_rows_cpu),
    ops::top_k_kernels.add(kCpu, top_k_cpu),
    ops::top_k_backward_kernels.add(kCpu, top_k_backward_cpu),
};

}  // namespace

}  // namespace tessera
