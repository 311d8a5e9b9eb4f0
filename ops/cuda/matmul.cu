// Matrix products in CUDA: each is one call of gemm() (ops/cuda/gemm.h) that says how its operands lie; the column sum
// is a reduction.
#include "ops/cuda/gemm.h"
#include "ops/cuda/reduce.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"

namespace tessera {

namespace {

using namespace cuda;

void matmul_cuda(const ops::MatmulDims& d, const Tensor& a, const Tensor& b, Tensor& c) {
  dispatch_storage(a, [&]<class T>() {
    gemm(Gemm<T>{.batch = d.batch,
                 .M = d.M,
                 .N = d.N,
                 .K = d.K,
                 .a = a.device_data<T>(),
                 .a_pitch = d.transpose_a ? d.M : d.K,
                 .a_stride = d.M * d.K,
                 .transpose_a = d.transpose_a,
                 .b = b.device_data<T>(),
                 .b_pitch = d.transpose_b ? d.K : d.N,
                 .b_stride = d.K * d.N,
                 .transpose_b = d.transpose_b,
                 .c = c.device_data<T>(),
                 .c_pitch = d.N,
                 .c_stride = d.M * d.N});
  });
}

void linear_cuda(const Tensor& x, const Tensor& weight, const Tensor& bias, ops::Activation activation, Tensor& y) {
  const i64 rows = x.shape().numel(0, x.rank() - 1), O = weight.dim(0), I = weight.dim(1);
  dispatch_storage(x, [&]<class T>() {
    gemm(Gemm<T>{.M = rows,
                 .N = O,
                 .K = I,
                 .a = x.device_data<T>(),
                 .a_pitch = I,
                 .b = weight.device_data<T>(),
                 .b_pitch = I,
                 .transpose_b = true,
                 .c = y.device_data<T>(),
                 .c_pitch = O,
                 .bias = data_or_null<T>(bias),
                 .relu = activation != ops::Activation::kNone});
  });
  if (activation == ops::Activation::kRelu6) ops::unary_kernels<scalar::Relu6>(y, y);
}

template <class T>
struct StoreSum {
  T* y;
  __device__ void operator()(i64 slice, double sum) const { store(y + slice, static_cast<float>(sum)); }
};

void column_sum_cuda(const Tensor& x, Tensor& y) {
  const i64 columns = x.dim(-1), rows = x.shape().numel(0, x.rank() - 1);
  dispatch_storage(x, [&]<class T>() {
    reduce<DoubleSum>({1, rows, columns}, x.device(), LoadValue<T>{x.device_data<T>()},
                      StoreSum<T>{y.device_data<T>()});
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::matmul_kernels.add(kDevice, matmul_cuda),
    ops::linear_kernels.add(kDevice, linear_cuda),
    ops::column_sum_kernels.add(kDevice, column_sum_cuda),
};

}  // namespace

}  // namespace tessera
