// Matrix products in CUDA: each is one call of gemm() (ops/cuda/gemm.h) that says how its operands lie.
#include "ops/cuda/gemm.h"
#include "ops/matmul.h"
#include "tensor/cuda/launch.h"

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

// One thread per column and chunk of rows: neighbouring threads read neighbouring columns. The sums of the chunks are
// added in order by a second kernel.
constexpr i64 kRows = 128;

__global__ void sum_rows_kernel(i64 rows, i64 columns, i64 chunk, const float* x, float* sums) {
  const i64 c = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x, part = blockIdx.y;
  if (c >= columns) return;
  const i64 begin = part * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float sum = 0;
  for (i64 row = begin; row < end; ++row) sum += x[row * columns + c];
  sums[part * columns + c] = sum;
}

void column_sum_cuda(const Tensor& x, Tensor& y) {
  const i64 columns = x.dim(-1), rows = x.shape().numel(0, x.rank() - 1);
  const auto sum_rows = [&](i64 count, i64 chunk, const float* from, float* to) {
    const Launch shape{
        .grid = {static_cast<unsigned>(ceil_div(columns, 128)), static_cast<unsigned>(ceil_div(count, chunk))},
        .block = 128};
    launch<sum_rows_kernel>(shape, count, columns, chunk, from, to);
  };
  if (rows == 0) return y.fill(0);
  const i64 chunk = std::max(kRows, ceil_div(rows, 4096)), parts = ceil_div(rows, chunk);
  if (parts == 1) return sum_rows(rows, rows, x.device_data<float>(), y.device_data<float>());
  Tensor partial = Tensor::empty({parts, columns}, DType::kF32, x.device());
  sum_rows(rows, chunk, x.device_data<float>(), partial.device_data<float>());
  sum_rows(parts, parts, partial.device_data<float>(), y.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::matmul_kernels.add(kDevice, matmul_cuda),
    ops::linear_kernels.add(kDevice, linear_cuda),
    ops::column_sum_kernels.add(kDevice, column_sum_cuda),
};

}  // namespace

}  // namespace tessera
