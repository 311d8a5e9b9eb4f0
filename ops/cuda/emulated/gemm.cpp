// The emulated device's matrix product: its memory is the processor's, so the CPU's product works on it.
#include "ops/cuda/gemm.h"

#include "ops/cpu/gemm.h"
#include "tensor/cuda/runtime.h"

namespace tessera::cuda {

namespace {

void multiply(const Gemm& g) {
  // run() overwrites C: a sum into it is computed beside it and added.
  std::vector<float> sum(g.accumulate ? static_cast<size_t>(g.batch * g.M * g.N) : 0);
  cpu::Gemm<float> product{.items = g.batch, .rows = g.M, .columns = g.N, .tap_depth = g.K};
  std::vector<float> a_transposed;
  if (g.transpose_a) {
    a_transposed.resize(static_cast<size_t>(g.batch * g.M * g.K));
    for (i64 item = 0; item < g.batch; ++item)
      for (i64 k = 0; k < g.K; ++k)
        for (i64 m = 0; m < g.M; ++m)
          a_transposed[static_cast<size_t>((item * g.M + m) * g.K + k)] = g.a[item * g.a_stride + k * g.a_pitch + m];
    product.a_rows = cpu::matrix_rows(static_cast<const float*>(a_transposed.data()), g.K, g.M * g.K);
  } else {
    product.a_rows = cpu::matrix_rows(g.a, g.a_pitch, g.a_stride);
  }
  product.pack_b = g.transpose_b ? decltype(product.pack_b)(cpu::pack_b_transposed(g.b, g.b_pitch, g.b_stride))
                                 : decltype(product.pack_b)(cpu::pack_b_plain(g.b, g.b_pitch, g.b_stride));
  product.c_rows = g.accumulate ? cpu::matrix_rows_out(sum.data(), g.N, g.M * g.N)
                                : cpu::matrix_rows_out(g.c, g.c_pitch, g.c_stride);
  product.bias = g.bias;
  product.relu = g.relu;
  cpu::run(product);
  if (!g.accumulate) return;
  for (i64 item = 0; item < g.batch; ++item)
    for (i64 m = 0; m < g.M; ++m)
      for (i64 n = 0; n < g.N; ++n)
        g.c[item * g.c_stride + m * g.c_pitch + n] += sum[static_cast<size_t>((item * g.M + m) * g.N + n)];
}

}  // namespace

void gemm(const Gemm& g) {
  if (g.batch * g.M * g.N > 0) emulated::enqueue(stream(), [g] { multiply(g); });
}

}  // namespace tessera::cuda
