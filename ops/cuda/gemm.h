// The matrix product that CUDA operators are built on: C = op(A) op(B), f32 or bf16, row-major. On a GPU cuBLASLt
// computes it, f32 at the precision that is set (ops/precision.h: f32, TF32, bf16 products), bf16 with sums in f32; on
// the emulated device the CPU's kernel.
#pragma once

#include "tensor/dtype.h"

namespace tessera::cuda {

// batch products; [M, K] x [K, N] -> [M, N]. A row of A begins a_pitch elements after the one before (of op(A)'s
// transposed form as it lies in memory: [K, M] where transpose_a), a matrix a_stride after the one before; likewise B
// and C.
template <class T, class Sum = T>
struct Gemm {
  i64 batch = 1, M = 0, N = 0, K = 0;
  const T* a = nullptr;
  i64 a_pitch = 0, a_stride = 0;
  bool transpose_a = false;
  const T* b = nullptr;
  i64 b_pitch = 0, b_stride = 0;
  bool transpose_b = false;
  Sum* c = nullptr;
  i64 c_pitch = 0, c_stride = 0;
  bool accumulate = false;    // C += in place of C =
  const Sum* bias = nullptr;  // [N], added to every row of C; only with batch = 1
  bool relu = false;          // last of all
};

// Enqueues it on stream(). K = 0 gives zeros (and the bias).
void gemm(const Gemm<float>& product);
void gemm(const Gemm<BFloat16>& product);
void gemm(const Gemm<BFloat16, float>& product);

}  // namespace tessera::cuda
