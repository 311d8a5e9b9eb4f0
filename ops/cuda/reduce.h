// y[o, i] = reduction of a value for each c, of [outer, count, inner] as in ops/reduce.h: what every CUDA operator
// calls that adds up, or finds the largest of, more than a warp's share of values.
//
//   struct Sum { using Value = double; static Value none() {...}  static Value of(Value a, Value b) {...} };
//   struct Load {
//     __device__ auto read(i64 at) const;  // what memory has for element `at`, (o count + c) inner + i
//     __device__ Value value(auto what, i64 c) const;
//   };
//   struct Store { __device__ void operator()(i64 slice, Value v) const; };  // slice: o inner + i
//   reduce<Sum>(dims, device, Load{...}, Store{...});
//
// A block of 256 threads is `width` neighbouring i times `depth` values of c times as many o as remain, so that
// neighbouring threads read neighbouring elements whatever the shape. A thread reduces every depth-th value of its
// chunk, 8 to 16 of them unless count is very large, and reads eight before it computes with the first; the block joins
// its threads' values in shared memory; a second launch joins the chunks. The order depends on the shape alone. Memory
// limits it: each element is read once.
#pragma once

#include <algorithm>
#include <bit>

#include "ops/cuda/divider.h"
#include "ops/cuda/storage.h"
#include "ops/reduce.h"

namespace tessera::cuda {

struct ReduceLayout {
  static constexpr int kThreads = 256, kReads = 8;
  explicit ReduceLayout(const ops::ReduceDims& dims_) : dims(dims_) {
    const auto power_of_two = [](i64 n, int limit) {
      return static_cast<int>(std::bit_ceil(static_cast<u64>(std::clamp<i64>(n, 1, limit))));
    };
    depth = power_of_two(ceil_div(dims.count, kReads), kThreads / power_of_two(dims.inner, kWarp));
    width = power_of_two(dims.inner, kThreads / depth);
    chunk = std::max<i64>(16 * depth, ceil_div(dims.count, 4096));
    chunks = std::max<i64>(1, ceil_div(dims.count, chunk));
    tiles = ceil_div(dims.inner, width);
    by_chunks = chunks, by_tiles = tiles;
  }
  i64 blocks() const { return ceil_div(dims.outer, kThreads / (width * depth)) * chunks * tiles; }

  ops::ReduceDims dims;
  int width, depth;
  i64 chunk, chunks, tiles;
  Divider by_chunks, by_tiles;
};

template <class Op, class Load, class Store>
__global__ void reduce_kernel(ReduceLayout layout, Load load, Store store) {
  using Value = typename Op::Value;
  struct Shared {
    Value values[ReduceLayout::kThreads];
  };
  auto& [values] = shared_memory<Shared>();
  const ops::ReduceDims& dims = layout.dims;
  const int t = static_cast<int>(threadIdx.x), width = layout.width, depth = layout.depth;
  const int d = t / width % depth, group = t / (width * depth), groups = ReduceLayout::kThreads / (width * depth);
  const u32 tile = blockIdx.x % layout.by_tiles, slices = blockIdx.x / layout.by_tiles;
  const i64 chunk = slices % layout.by_chunks, o = i64{slices / layout.by_chunks} * groups + group;
  const i64 i = i64{tile} * width + t % width;
  const bool inside = o < dims.outer && i < dims.inner;
  const i64 end = inside ? std::min((chunk + 1) * layout.chunk, dims.count) : 0;
  Value value = Op::none();
  read_ahead<ReduceLayout::kReads>(
      chunk * layout.chunk + d, end, depth, [&](i64 c) { return load.read((o * dims.count + c) * dims.inner + i); },
      [&](i64 c, const auto& what) { value = Op::of(value, load.value(what, c)); });
  values[t] = value;
  for (int half = depth / 2; half > 0; half /= 2) {
    __syncthreads();
    if (d < half) values[t] = Op::of(values[t], values[t + half * width]);
  }
  if (d == 0 && inside) store((o * layout.chunks + chunk) * dims.inner + i, values[t]);
}

// The reductions of the chunks, between the two launches.
template <class Value>
struct LoadPart {
  const Value* parts;
  __device__ Value read(i64 at) const { return parts[at]; }
  __device__ Value value(const Value& part, i64) const { return part; }
};
template <class Value>
struct StorePart {
  Value* parts;
  __device__ void operator()(i64 slice, Value value) const { parts[slice] = value; }
};

template <class Op, class Load, class Store>
void reduce(const ops::ReduceDims& dims, Device device, const Load& load, const Store& store) {
  using Value = typename Op::Value;
  const auto run = [](const ReduceLayout& layout, auto from, auto to) {
    launch<reduce_kernel<Op, decltype(from), decltype(to)>>(
        Launch{.grid = static_cast<unsigned>(layout.blocks()), .block = ReduceLayout::kThreads}, layout, from, to);
  };
  const ReduceLayout whole(dims);
  if (whole.chunks == 1) return run(whole, load, store);
  Tensor memory =
      Tensor::empty({dims.outer * whole.chunks * dims.inner * static_cast<i64>(sizeof(Value))}, DType::kU8, device);
  Value* parts = static_cast<Value*>(memory.raw());
  run(whole, load, StorePart<Value>{parts});
  ReduceLayout rest({dims.outer, whole.chunks, dims.inner});
  rest.chunk = rest.dims.count, rest.chunks = 1, rest.by_chunks = 1;
  run(rest, LoadPart<Value>{parts}, store);
}

// Sums in double.
struct DoubleSum {
  using Value = double;
  __device__ static double none() { return 0; }
  __device__ static double of(double a, double b) { return a + b; }
};
template <class T>
struct LoadValue {
  const T* x;
  __device__ T read(i64 at) const { return x[at]; }
  __device__ double value(T element, i64) const { return convert<float>(element); }
};
template <class T>
struct LoadSquare {
  const T* x;
  __device__ T read(i64 at) const { return x[at]; }
  __device__ double value(T element, i64) const {
    const double root = convert<float>(element);
    return root * root;
  }
};

}  // namespace tessera::cuda
