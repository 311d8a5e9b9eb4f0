// Reductions in CUDA on top of ops/cuda/reduce.h, which has the mapping of threads to work. Sums are taken in double
// from the first addition on: memory, not arithmetic, is what they wait for.
#include <limits>
#include <vector>

#include "ops/cuda/block_reduce.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/tensor_table.h"

namespace tessera {

namespace {

using namespace cuda;

template <class T>
struct StoreScaled {
  double scale;
  T* y;
  __device__ void operator()(i64 slice, double sum) const { store(y + slice, static_cast<float>(scale * sum)); }
};

void sum_cuda(const ops::ReduceDims& dims, double scale, const Tensor& x, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    reduce<DoubleSum>(dims, x.device(), LoadValue<T>{x.device_data<T>()}, StoreScaled<T>{scale, y.device_data<T>()});
  });
}

struct Squared {
  i64 count;
  const float* x;
};

// parts: one sum per block
__global__ void sum_of_squares_kernel(TensorTable<Squared> table, double* parts) {
  const auto [tensor, begin, end] = table.share();
  double sum = 0;
  each_piece<float>(begin, end, {tensor.x}, [&]<int kWidth>(i64 i) {
    const auto piece = Channels<kWidth>::load(tensor.x + i);
    for (const float value : piece.value) sum += double{value} * value;
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

void sum_of_squares_cuda(std::span<const Tensor> xs, Tensor& sum) {
  std::vector<Squared> list;
  i64 blocks = 0;
  for (const Tensor& x : xs) {
    list.push_back({x.numel(), x.device_data<float>()});
    blocks += blocks_of(x.numel());
  }
  Tensor memory = Tensor::empty({blocks}, DType::kF64, sum.device());
  double* parts = memory.device_data<double>();
  for_each_table(std::span<const Squared>(list), [&](const TensorTable<Squared>& table, const Launch& shape) {
    launch<sum_of_squares_kernel>(shape, table, parts);
    parts += shape.grid.x;
  });
  reduce<DoubleSum>({1, blocks, 1}, sum.device(), LoadPart<double>{memory.device_data<double>()},
                    StorePart<double>{sum.device_data<double>()});
}

// The largest value, NaN above all, and the first position of it.
struct First {
  struct Value {
    float value;
    i64 index;
  };
  __device__ static Value none() { return {-INFINITY, std::numeric_limits<i64>::max()}; }
  __device__ static Value of(Value a, Value b) {
    const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
    const bool equal = a.value == b.value || (a_is_nan && b_is_nan);
    return (equal ? a.index < b.index : a_is_nan || a.value > b.value) ? a : b;
  }
};
template <class T>
struct LoadIndexed {
  const T* x;
  __device__ T read(i64 at) const { return x[at]; }
  __device__ First::Value value(T element, i64 c) const { return {convert<float>(element), c}; }
};
template <class T>
struct StoreIndexed {
  T* values;
  i64* indices;
  __device__ void operator()(i64 slice, First::Value first) const {
    store(values + slice, first.value);
    indices[slice] = first.index;
  }
};

void max_cuda(const ops::ReduceDims& dims, const Tensor& x, Tensor& values, Tensor& indices) {
  dispatch_storage(x, [&]<class T>() {
    reduce<First>(dims, x.device(), LoadIndexed<T>{x.device_data<T>()},
                  StoreIndexed<T>{values.device_data<T>(), indices.device_data<i64>()});
  });
}

// One thread per gradient; gx is zero before. An index outside the dimension gets none.
template <class T>
__global__ void max_backward_kernel(i64 n, ops::ReduceDims dims, const T* gy, const i64* where, T* gx) {
  for (const i64 k : indices(n))
    if (0 <= where[k] && where[k] < dims.count)
      gx[(k / dims.inner * dims.count + where[k]) * dims.inner + k % dims.inner] = gy[k];
}

void max_backward_cuda(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& where, Tensor& gx) {
  dispatch_storage(gy, [&]<class T>() {
    launch<max_backward_kernel<T>>(over(gy.numel()), gy.numel(), dims, gy.device_data<T>(), where.device_data<i64>(),
                                   gx.device_data<T>());
  });
}

// marks are zero before; all that write to one, write the same.
__global__ void mark_non_finite_kernel(i64 n, i64 count, const float* x, float* marks) {
  for (const i64 i : indices(n))
    if (!std::isfinite(x[i])) marks[i / count] = NAN;
}

void mark_non_finite_cuda(const Tensor& x, Tensor& marks) {
  launch<mark_non_finite_kernel>(over(x.numel()), x.numel(), x.shape().numel(1, x.rank()), x.device_data<float>(),
                                 marks.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sum_kernels.add(kDevice, sum_cuda),
    ops::max_kernels.add(kDevice, max_cuda),
    ops::max_backward_kernels.add(kDevice, max_backward_cuda),
    ops::sum_of_squares_kernels.add(kDevice, sum_of_squares_cuda),
    ops::mark_non_finite_kernels.add(kDevice, mark_non_finite_cuda),
};

}  // namespace

}  // namespace tessera
