// Matrix products on the CPU: each is one call of the blocked product (ops/cpu/gemm.h) that says how its operands lie.
#include "ops/matmul.h"

#include "ops/cpu/gemm.h"

namespace tessera::ops {
namespace {

void matmul_cpu(const MatmulDims& dims, const Tensor& a, const Tensor& b, Tensor& c) {
  dispatch_float(a.dtype(), "matmul", [&]<class T>() {
    cpu::Gemm<T> gemm{.items = dims.batch, .rows = dims.M, .columns = dims.N, .run_depth = dims.K};
    const i64 size_a = dims.M * dims.K, size_b = dims.K * dims.N;
    if (dims.transpose_a) {
      gemm.a_columns = a.data<T>();
      gemm.a_step = dims.M;
      gemm.a_item_stride = size_a;
    } else {
      gemm.a_rows = cpu::matrix_rows(a.data<T>(), dims.K, size_a);
    }
    if (dims.transpose_b) {
      gemm.pack_b = cpu::pack_b_transposed(b.data<T>(), dims.K, size_b);
    } else {
      gemm.pack_b = cpu::pack_b_plain(b.data<T>(), dims.N, size_b);
    }
    gemm.c_rows = cpu::matrix_rows_out(c.data<T>(), dims.N, dims.M * dims.N);
    cpu::run(gemm);
  });
}

// x [rows, I], weight [O, I] = B transposed.
void linear_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation, Tensor& y) {
  dispatch_float(x.dtype(), "linear", [&]<class T>() {
    const i64 rows = x.shape().numel(0, x.rank() - 1), O = weight.dim(0), I = weight.dim(1);
    cpu::run(cpu::Gemm<T>{.rows = rows,
                          .columns = O,
                          .run_depth = I,
                          .a_rows = cpu::matrix_rows(x.data<T>(), I, 0),
                          .pack_b = cpu::pack_b_transposed(weight.data<T>(), I, 0),
                          .c_rows = cpu::matrix_rows_out(y.data<T>(), O, 0),
                          .bias = bias.defined() ? bias.data<T>() : nullptr,
                          .relu = activation != Activation::kNone,
                          .ceiling = cpu::ceiling_of<T>(activation)});
  });
}

// Sums of kRows rows in the operand's precision, then the sum of those sums in double, in order.
void column_sum_cpu(const Tensor& x, Tensor& y) {
  constexpr i64 kRows = 256;
  dispatch_float(x.dtype(), "column_sum", [&]<class T>() {
    const i64 C = x.dim(-1), rows = x.shape().numel(0, x.rank() - 1), parts = (rows + kRows - 1) / kRows;
    Tensor partial = Tensor::empty({parts, C}, x.dtype());
    const T* from = x.data<T>();
    T* sums = partial.data<T>();
    const auto sum_rows = simd::gemm_kernels.get<T>().sum_rows;
#pragma omp parallel for schedule(static) if (rows * C > 100000)
    for (i64 part = 0; part < parts; ++part)
      sum_rows(from + part * kRows * C, C, std::min(kRows, rows - part * kRows), C, sums + part * C);
    std::vector<double> total(static_cast<size_t>(C), 0.0);
    for (i64 part = 0; part < parts; ++part)
      for (i64 c = 0; c < C; ++c) total[static_cast<size_t>(c)] += sums[part * C + c];
    std::copy(total.begin(), total.end(), y.data<T>());
  });
}

const bool kAdded = matmul_kernels.add(DeviceKind::kCpu, matmul_cpu) &&
                    linear_kernels.add(DeviceKind::kCpu, linear_cpu) &&
                    column_sum_kernels.add(DeviceKind::kCpu, column_sum_cpu);

}  // namespace
}  // namespace tessera::ops
