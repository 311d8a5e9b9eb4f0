// Matrix products in CUDA: each is one call of gemm() (ops/cuda/gemm.h) that says how its operands lie; the column sum
// is a reduction.
#include "ops/cuda/gemm.h"
#include "ops/cuda/reduce.h"
#include "ops/matmul.h"

namespace tessera {

namespace {

using namespace cuda;

void matmul_cuda(const ops::MatmulDims& d, const Tensor& a, const Tensor& b, Tensor& c) {
  gemm({.batch = d.batch,
        .M = d.M,
        .N = d.N,
        .K = d.K,
        .a = a.device_data<float>(),
        .a_pitch = d.transpose_a ? d.M : d.K,
        .a_stride = d.M * d.K,
        .transpose_a = d.transpose_a,
        .b = b.device_data<float>(),
        .b_pitch = d.transpose_b ? d.K : d.N,
        .b_stride = d.K * d.N,
        .transpose_b = d.transpose_b,
        .c = c.device_data<float>(),
        .c_pitch = d.N,
        .c_stride = d.M * d.N});
}

void linear_cuda(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const i64 rows = x.shape().numel(0, x.rank() - 1), O = weight.dim(0), I = weight.dim(1);
  gemm({.M = rows,
        .N = O,
        .K = I,
        .a = x.device_data<float>(),
        .a_pitch = I,
        .b = weight.device_data<float>(),
        .b_pitch = I,
        .transpose_b = true,
        .c = y.device_data<float>(),
        .c_pitch = O,
        .bias = bias.defined() ? bias.device_data<float>() : nullptr});
}

struct StoreFloat {
  float* y;
  __device__ void operator()(i64 slice, double sum) const { y[slice] = static_cast<float>(sum); }
};

void column_sum_cuda(const Tensor& x, Tensor& y) {
  const i64 columns = x.dim(-1), rows = x.shape().numel(0, x.rank() - 1);
  reduce<DoubleSum>({1, rows, columns}, x.device(), LoadFloat{x.device_data<float>()},
                    StoreFloat{y.device_data<float>()});
}

[[maybe_unused]] const bool kAdded[] = {
    ops::matmul_kernels.add(kDevice, matmul_cuda),
    ops::linear_kernels.add(kDevice, linear_cuda),
    ops::column_sum_kernels.add(kDevice, column_sum_cuda),
};

}  // namespace

}  // namespace tessera
