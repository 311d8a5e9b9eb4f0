// Operators that move runs of neighbouring elements in CUDA: slice, slice_into, gather_rows, overwrite_rows; and
// scatter_add_rows, which adds rows up. flat_rows has a thread for each index.
//
// A run is moved in the largest units, of 1 to 16 bytes, that its length and the addresses allow. A block of 256
// threads has `width` neighbouring units, a power of two, of 256 / width runs, and very long runs are shared by several
// blocks: neighbouring threads touch neighbouring units, and no position is divided. Memory limits it: each byte is
// read and written once.
//
// scatter_add_rows gathers, so that sums have the order of the contract: the pairs (row, k) are sorted, and the threads
// of a row of y find by bisection where its pairs begin and add up their rows of x.
#include <bit>

#include "ops/arrange.h"
#include "ops/cuda/sort_keys.h"
#include "ops/cuda/storage.h"
#include "ops/cuda/units.h"
#include "ops/sps.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

// Which part of `number` rows of `length` values is a thread's: values first(), first() + step(), ... of row().
struct Rows {
  Rows(i64 number_, i64 length_)
      : number(number_), length(length_), width(static_cast<int>(std::bit_ceil(std::min<u64>(length, kThreads)))) {}
  Launch launch() const {
    if (length == 0) return {.grid = 0, .block = kThreads};
    constexpr i64 kEach = 4, kMaxPieces = 65535;
    return {.grid = {static_cast<unsigned>(ceil_div(number, kThreads / width)),
                     static_cast<unsigned>(std::min(ceil_div(length, kEach * width), kMaxPieces))},
            .block = kThreads};
  }
  __device__ i64 row() const { return static_cast<i64>(blockIdx.x) * (kThreads / width) + threadIdx.x / width; }
  __device__ i64 first() const { return static_cast<i64>(blockIdx.y) * width + threadIdx.x % width; }
  __device__ i64 step() const { return static_cast<i64>(gridDim.y) * width; }
  i64 number, length;
  int width;
};

// Run k lies at row k of `from` and of `to`, or at row rows[k] of one of them. A rows[k] outside [0, count) reads as
// zeros and is not written.
enum class Indexed { kNone, kFrom, kTo };
struct Pitches {
  i64 from, to;  // from one row to the next
};

template <Indexed kIndexed, class Unit>
__global__ void move_runs_kernel(Rows runs, Pitches pitch, const i64* rows, i64 count, const Unit* from, Unit* to) {
  const i64 k = runs.row();
  if (k >= runs.number) return;
  const i64 row = kIndexed == Indexed::kNone ? k : rows[k];
  const bool inside = kIndexed == Indexed::kNone || (0 <= row && row < count);
  if (kIndexed == Indexed::kTo && !inside) return;
  from += (kIndexed == Indexed::kFrom ? row : k) * pitch.from;
  to += (kIndexed == Indexed::kTo ? row : k) * pitch.to;
  for (i64 j = runs.first(); j < runs.length; j += runs.step()) to[j] = inside ? from[j] : Unit{};
}

// number, and length and pitch in bytes.
template <Indexed kIndexed>
void move_runs(i64 number, i64 length, Pitches pitch, const i64* rows, i64 count, const void* from, void* to) {
  const i64 unit = unit_of(length | pitch.from | pitch.to | address_of(from) | address_of(to));
  const Rows runs(number, length / unit);
  dispatch_unit(unit, [&]<class Unit>() {
    launch<move_runs_kernel<kIndexed, Unit>>(runs.launch(), runs, Pitches{pitch.from / unit, pitch.to / unit}, rows,
                                             count, static_cast<const Unit*>(from), static_cast<Unit*>(to));
  });
}

i64 element_bytes(const Tensor& x) {
  return static_cast<i64>(size_of(x.dtype()));
}

// The bytes of one row of the first dimension.
i64 row_bytes(const Tensor& x) {
  return x.shape().numel(1, x.rank()) * element_bytes(x);
}

void slice_cuda(const ops::SliceDims& dims, const Tensor& whole, Tensor& part) {
  const i64 inner = dims.inner * element_bytes(whole), run = dims.count * inner;
  move_runs<Indexed::kNone>(dims.outer, run, {dims.size * inner, run}, nullptr, 0,
                            static_cast<const std::byte*>(whole.raw()) + dims.begin * inner, part.raw());
}

void slice_into_cuda(const ops::SliceDims& dims, const Tensor& part, Tensor& whole) {
  const i64 inner = dims.inner * element_bytes(whole), run = dims.count * inner;
  move_runs<Indexed::kNone>(dims.outer, run, {run, dims.size * inner}, nullptr, 0, part.raw(),
                            static_cast<std::byte*>(whole.raw()) + dims.begin * inner);
}

void gather_rows_cuda(const Tensor& x, const Tensor& rows, Tensor& y) {
  const i64 run = row_bytes(x);
  move_runs<Indexed::kFrom>(rows.numel(), run, {run, run}, rows.device_data<i64>(), x.dim(0), x.raw(), y.raw());
}

void overwrite_rows_cuda(const Tensor& values, const Tensor& rows, Tensor& map) {
  const i64 run = row_bytes(values), size = values.shape().numel(1, values.rank());
  move_runs<Indexed::kTo>(rows.numel(), run, {run, run}, rows.device_data<i64>(), size ? map.numel() / size : 0,
                          values.raw(), map.raw());
}

__global__ void flat_rows_kernel(i64 n, i64 K, i64 size, const i64* positions, i64* rows) {
  for (const i64 i : indices(n)) rows[i] = 0 <= positions[i] && positions[i] < size ? i / K * size + positions[i] : -1;
}

void flat_rows_cuda(const Tensor& positions, i64 size, Tensor& rows) {
  launch<flat_rows_kernel>(over(rows.numel()), rows.numel(), positions.dim(1), size, positions.device_data<i64>(),
                           rows.device_data<i64>());
}

// A row outside y gets the last key of all.
__global__ void make_keys_kernel(i64 K, i64 count, const i64* rows, u64* keys) {
  for (const i64 k : indices(K))
    keys[k] = make_key(0 <= rows[k] && rows[k] < count ? static_cast<u32>(rows[k]) : ~u32{0}, k);
}

template <class T>
__global__ void add_rows_kernel(Rows rows, i64 K, const u64* keys, const T* x, T* y) {
  const i64 row = rows.row();
  if (row >= rows.number) return;
  i64 begin = 0, end = K;
  while (begin < end) {
    const i64 middle = (begin + end) / 2;
    if (keys[middle] < make_key(static_cast<u32>(row), 0)) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  for (i64 j = rows.first(); j < rows.length; j += rows.step()) {
    float sum = 0;
    for (i64 at = begin; at < K && value_of(keys[at]) == row; ++at)
      sum += load(x + position_of(keys[at]) * rows.length + j);
    store(y + row * rows.length + j, sum);
  }
}

void scatter_add_rows_cuda(const Tensor& x, const Tensor& rows, Tensor& y) {
  const i64 K = rows.numel(), count = y.dim(0);
  if (x.numel() == 0) return;  // y is zero before
  TESSERA_CHECK(count < kMaxPositions && K < kMaxPositions, "scatter_add_rows: {} rows into {} are too many", K, count);
  Tensor keys = Tensor::empty({1, K}, DType::kI64, x.device());
  launch<make_keys_kernel>(over(K), K, count, rows.device_data<i64>(), keys_of(keys));
  Tensor sorted = sort_keys(std::move(keys));
  const Rows out(count, y.shape().numel(1, y.rank()));
  dispatch_storage(x, [&]<class T>() {
    launch<add_rows_kernel<T>>(out.launch(), out, K, keys_of(sorted), x.device_data<T>(), y.device_data<T>());
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::slice_kernels.add(kDevice, slice_cuda),
    ops::slice_into_kernels.add(kDevice, slice_into_cuda),
    ops::gather_rows_kernels.add(kDevice, gather_rows_cuda),
    ops::flat_rows_kernels.add(kDevice, flat_rows_cuda),
    ops::scatter_add_rows_kernels.add(kDevice, scatter_add_rows_cuda),
    ops::overwrite_rows_kernels.add(kDevice, overwrite_rows_cuda),
};

}  // namespace

}  // namespace tessera
