// y = s / max(sum s, 1e-6), s = sigmoid(x), along one dimension of [outer, count, inner]; formulas in ops/softmax.h.
// One reduction (ops/cuda/reduce.h) for the sums, in double, and one pass for the result, a thread per 16 bytes or
// element: memory limits both, x is read twice.
#include "ops/cuda/map.h"
#include "ops/cuda/reduce.h"
#include "ops/scalar/libm.h"
#include "ops/softmax.h"

namespace tessera {

namespace {

using namespace cuda;

__device__ float bounded(float sum) {
  return sum < static_cast<float>(scalar::kSmallestSum) ? static_cast<float>(scalar::kSmallestSum) : sum;  // NaN passes
}

template <class T>
struct LoadSigmoid {
  const T* x;
  __device__ T read(i64 at) const { return x[at]; }
  __device__ double value(T element, i64) const {
    all_are_read();
    return scalar::Libm::sigmoid(convert<float>(element));
  }
};
struct StoreFloat {
  float* sums;
  __device__ void operator()(i64 slice, double sum) const { sums[slice] = static_cast<float>(sum); }
};

// The elements as a map whose channels are the slices of one o.
MapDims as_map(const ops::ReduceDims& dims) {
  if (dims.inner == 1) return {dims.outer, 1, dims.count, 1};  // blocks of many elements
  return {dims.outer, dims.count, 1, dims.inner};
}

template <class T, int kWidth>
__global__ void divide_kernel(MapDims map, const T* x, const float* sums, T* y) {
  for (const MapPosition at : positions<kWidth>(map)) {
    auto values = Channels<kWidth>::load(x + at.index);
    const auto totals = Channels<kWidth>::load(sums + i64{at.n} * map.C + at.c);
    for (int j = 0; j < kWidth; ++j)
      values.value[j] = scalar::Libm::sigmoid(values.value[j]) / bounded(totals.value[j]);
    values.store(y + at.index);
  }
}

template <class T>
void normalised_sigmoid_of(const ops::ReduceDims& dims, const Tensor& x, Tensor& y) {
  const T* from = x.device_data<T>();
  T* to = y.device_data<T>();
  Tensor sums = Tensor::empty({dims.outer, dims.inner}, DType::kF32, x.device());
  reduce<DoubleSum>(dims, x.device(), LoadSigmoid<T>{from}, StoreFloat{sums.device_data<float>()});
  const MapDims map = as_map(dims);
  dispatch_pieces<T>(map.C, {from, to}, [&]<int kWidth>() {
    launch<divide_kernel<T, kWidth>>(over_map<kWidth>(map), map, from, sums.device_data<float>(), to);
  });
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
  struct Pair {
    T gy, x;
  };
  __device__ Pair read(i64 at) const { return {gy[at], x[at]}; }
  __device__ PairSum::Value value(const Pair& pair, i64) const {
    all_are_read();
    const double s = scalar::Libm::sigmoid(convert<float>(pair.x));
    return {s, convert<float>(pair.gy) * s};
  }
};
// 1 / D and sum gy y, without the latter where the bound was taken.
struct StorePair {
  float *scales, *products;
  __device__ void operator()(i64 slice, PairSum::Value sums) const {
    const bool small = sums.total < scalar::kSmallestSum;
    scales[slice] = static_cast<float>(1 / (small ? scalar::kSmallestSum : sums.total));
    products[slice] = small ? 0.0f : static_cast<float>(sums.product / sums.total);
  }
};

template <class T, int kWidth>
__global__ void sigmoid_gradient_kernel(MapDims map, const T* gy, const T* x, const float* scales,
                                        const float* products, T* gx) {
  for (const MapPosition at : positions<kWidth>(map)) {
    const i64 slice = i64{at.n} * map.C + at.c;
    auto gradient = Channels<kWidth>::load(gy + at.index);
    const auto values = Channels<kWidth>::load(x + at.index), scale = Channels<kWidth>::load(scales + slice),
               product = Channels<kWidth>::load(products + slice);
    for (int j = 0; j < kWidth; ++j) {
      const float s = scalar::Libm::sigmoid(values.value[j]);
      gradient.value[j] = (1 - s) * s * scale.value[j] * (gradient.value[j] - product.value[j]);
    }
    gradient.store(gx + at.index);
  }
}

template <class T>
void gradient_of(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& x, Tensor& gx) {
  const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
  T* to = gx.device_data<T>();
  Tensor scales = Tensor::empty({dims.outer, dims.inner}, DType::kF32, x.device()),
         products = Tensor::empty({dims.outer, dims.inner}, DType::kF32, x.device());
  reduce<PairSum>(dims, x.device(), LoadPair<T>{gradient, values},
                  StorePair{scales.device_data<float>(), products.device_data<float>()});
  const MapDims map = as_map(dims);
  dispatch_pieces<T>(map.C, {gradient, values, to}, [&]<int kWidth>() {
    launch<sigmoid_gradient_kernel<T, kWidth>>(over_map<kWidth>(map), map, gradient, values,
                                               scales.device_data<float>(), products.device_data<float>(), to);
  });
}

void normalised_sigmoid_backward_cuda(const ops::ReduceDims& dims, const Tensor& gy, const Tensor& x, Tensor& gx) {
  dispatch_storage(x, [&]<class T>() { gradient_of<T>(dims, gy, x, gx); });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::softmax_kernels<scalar::NormalisedSigmoid>.add(kDevice, normalised_sigmoid_cuda),
    ops::softmax_backward_kernels<scalar::NormalisedSigmoid>.add(kDevice, normalised_sigmoid_backward_cuda),
};

}  // namespace

}  // namespace tessera
