// y = s / max(sum s, 1e-6), s = sigmoid(x), along one dimension of [outer, count, inner]; formulas in ops/softmax.h.
// One reduction (ops/cuda/reduce.h) for the sums, in double, and one pass for the result, a thread per element:
// memory limits both, x is read twice.
#include "ops/cuda/reduce.h"
#include "ops/softmax.h"

namespace tessera {

namespace {

using namespace cuda;

__device__ float sigmoid_of(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}
__device__ float bounded(float sum) {
  return sum < static_cast<float>(ops::kSmallestSum) ? static_cast<float>(ops::kSmallestSum) : sum;  // NaN passes
}

template <class T>
struct LoadSigmoid {
  const T* x;
  __device__ double operator()(i64 at, i64) const { return sigmoid_of(load(x + at)); }
};
struct StoreFloat {
  float* sums;
  __device__ void operator()(i64 slice, double sum) const { sums[slice] = static_cast<float>(sum); }
};

// The slice of an element: (o, i).
__device__ i64 slice_of(const ops::ReduceDims& dims, i64 at) {
  return at / (dims.count * dims.inner) * dims.inner + at % dims.inner;
}

template <class T>
__global__ void divide_kernel(i64 n, ops::ReduceDims dims, const T* x, const float* sums, T* y) {
  for (const i64 i : indices(n)) store(y + i, sigmoid_of(load(x + i)) / bounded(sums[slice_of(dims, i)]));
}

template <class T>
void normalised_sigmoid_of(const ops::ReduceDims& dims, const Tensor& x, Tensor& y) {
  const T* from = x.device_data<T>();
  Tensor sums = Tensor::empty({dims.outer, dims.inner}, DType::kF32, x.device());
  reduce<DoubleSum>(dims, x.device(), LoadSigmoid<T>{from}, StoreFloat{sums.device_data<float>()});
  launch<divide_kernel<T>>(over(x.numel()), x.numel(), dims, from, sums.device_data<float>(), y.device_data<T>());
}

void normalised_sigmoid_cuda(const ops::ReduceDims& dims, const Tensor& x, Tensor& y) {
  dispatch_storage(x, [&]<class T>() { normalised_sigmoid_of<T>(dims, x, y); });
}

// sum s and sum gy s.
struct PairSum {
  struct Value {
    double total, product;
  };
  __device__ static Value none() { return {0, 0}; }
  __device__ static Value of(Value a, Value b) { return {a.total + b.total, a.product + b.product}; }
};
template <class T>
struct LoadPair {
  const T *gy, *x;
  __device__ PairSum::Value operator()(i64 at, i64) const {
    const double s = sigmoid_of(load(x + at));
    return {s, load(gy + at) * s};
  }
};
// 1 / D and sum gy y, without the latter where the bound was taken.
struct StorePair {
  float *scales, *products;
  __device__ void operator()(i64 slice, PairSum::Value sums) const {
    const bool small = sums.total < ops::kSmallestSum;
    scales[slice] = static_cast<float>(1 / (small ? ops::kSmallestSum : sums.total));
    products[slice] = small ? 0.0f : static_cast<float>(sums.product / sums.total);
  }
};

template <class T>
__global__ void input_gradient_kernel(i64 n, ops::ReduceDims dims, const T* gy, const T* x, const float* scales,
                                      const float* products, T* gx) {
  for (const i64 i : indices(n)) {
    const i64 slice = slice_of(dims, i);
    const float s = sigmoid_of(load(x + i));
    store(gx + i, (1 - s) * s * scales[slice] * (load(gy + i) - products[slice]));
  }
}

template <class T>
void gradient_of(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& x, Tensor& gx) {
  const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
  Tensor scales = Tensor::empty({dims.outer, dims.inner}, DType::kF32, x.device()),
         products = Tensor::empty({dims.outer, dims.inner}, DType::kF32, x.device());
  reduce<PairSum>(dims, x.device(), LoadPair<T>{gradient, values},
                  StorePair{scales.device_data<float>(), products.device_data<float>()});
  launch<input_gradient_kernel<T>>(over(x.numel()), x.numel(), dims, gradient, values, scales.device_data<float>(),
                                   products.device_data<float>(), gx.device_data<T>());
}

void normalised_sigmoid_backward_cuda(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& x, Tensor& gx) {
  dispatch_storage(x, [&]<class T>() { gradient_of<T>(dims, gy, x, gx); });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::normalised_sigmoid_kernels.add(kDevice, normalised_sigmoid_cuda),
    ops::normalised_sigmoid_backward_kernels.add(kDevice, normalised_sigmoid_backward_cuda),
};

}  // namespace

}  // namespace tessera
