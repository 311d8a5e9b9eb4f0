// Reductions in CUDA on top of ops/cuda/reduce.h, which has the mapping of threads to work. Sums are taken in double
// from the first addition on: memory, not arithmetic, is what they wait for.
#include <limits>

#include "ops/cuda/reduce.h"

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

void sum_of_squares_cuda(const Tensor& x, Tensor& sum) {
  dispatch_storage(x, [&]<class T>() {
    reduce<DoubleSum>({1, x.numel(), 1}, x.device(), LoadSquare<T>{x.device_data<T>()},
                      StorePart<double>{sum.device_data<double>()});
  });
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
  __device__ First::Value operator()(i64 at, i64 c) const { return {load(x + at), c}; }
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

// All that write, write the same.
template <class T>
__global__ void all_finite_kernel(i64 n, const T* x, u8* finite) {
  for (const i64 i : indices(n))
    if (!std::isfinite(load(x + i))) *finite = 0;
}

void all_finite_cuda(const Tensor& x, bool& finite) {
  Tensor result = Tensor::full({}, 1, DType::kU8, x.device());
  dispatch_storage(x, [&]<class T>() {
    launch<all_finite_kernel<T>>(over(x.numel()), x.numel(), x.device_data<T>(), result.device_data<u8>());
  });
  finite = result.item() != 0;
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sum_kernels.add(kDevice, sum_cuda),
    ops::max_kernels.add(kDevice, max_cuda),
    ops::max_backward_kernels.add(kDevice, max_backward_cuda),
    ops::sum_of_squares_kernels.add(kDevice, sum_of_squares_cuda),
    ops::all_finite_kernels.add(kDevice, all_finite_cuda),
};

}  // namespace

}  // namespace tessera
