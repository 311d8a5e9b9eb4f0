// Reductions in CUDA on top of ops/cuda/reduce.h, which has the mapping of threads to work. Sums are taken in double
// from the first addition on: memory, not arithmetic, is what they wait for.
#include <limits>

#include "ops/cuda/reduce.h"

namespace tessera {

namespace {

using namespace cuda;

struct StoreScaled {
  double scale;
  float* y;
  __device__ void operator()(i64 slice, double sum) const { y[slice] = static_cast<float>(scale * sum); }
};

void sum_cuda(const ops::ReduceDims& dims, double scale, const Tensor& x, Tensor& y) {
  reduce<DoubleSum>(dims, x.device(), LoadFloat{x.device_data<float>()}, StoreScaled{scale, y.device_data<float>()});
}

void sum_of_squares_cuda(const Tensor& x, Tensor& sum) {
  reduce<DoubleSum>({1, x.numel(), 1}, x.device(), LoadSquare{x.device_data<float>()},
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
struct LoadIndexed {
  const float* x;
  __device__ First::Value operator()(i64 at, i64 c) const { return {x[at], c}; }
};
struct StoreIndexed {
  float* values;
  i64* indices;
  __device__ void operator()(i64 slice, First::Value first) const {
    values[slice] = first.value;
    indices[slice] = first.index;
  }
};

void max_cuda(const ops::ReduceDims& dims, const Tensor& x, Tensor& values, Tensor& indices) {
  reduce<First>(dims, x.device(), LoadIndexed{x.device_data<float>()},
                StoreIndexed{values.device_data<float>(), indices.device_data<i64>()});
}

// One thread per gradient; gx is zero before. An index outside the dimension gets none.
__global__ void max_backward_kernel(i64 n, ops::ReduceDims dims, const float* gy, const i64* where, float* gx) {
  for (const i64 k : indices(n))
    if (0 <= where[k] && where[k] < dims.count)
      gx[(k / dims.inner * dims.count + where[k]) * dims.inner + k % dims.inner] = gy[k];
}

void max_backward_cuda(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& where, Tensor& gx) {
  launch<max_backward_kernel>(over(gy.numel()), gy.numel(), dims, gy.device_data<float>(), where.device_data<i64>(),
                              gx.device_data<float>());
}

// All that write, write the same.
__global__ void all_finite_kernel(i64 n, const float* x, u8* finite) {
  for (const i64 i : indices(n))
    if (!std::isfinite(x[i])) *finite = 0;
}

void all_finite_cuda(const Tensor& x, bool& finite) {
  Tensor result = Tensor::full({}, 1, DType::kU8, x.device());
  launch<all_finite_kernel>(over(x.numel()), x.numel(), x.device_data<float>(), result.device_data<u8>());
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
