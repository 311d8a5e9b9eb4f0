// The emulated device's matrix product: its memory is the processor's, so the CPU's product works on it.
#include "ops/cuda/gemm.h"

#include <type_traits>
#include <vector>

#include "ops/cpu/gemm.h"
#include "ops/cuda/emulated/last_bit.h"
#include "tensor/cuda/runtime.h"
#include "tensor/device_counts.h"

namespace tessera::cuda {

namespace {

void multiply(const Gemm<float>& g) {
  // run() overwrites C: a sum into it is computed beside it and added.
  std::vector<float> sum(g.accumulate ? static_cast<size_t>(g.batch * g.M * g.N) : 0);
  cpu::Gemm<float> product{.items = g.batch, .rows = g.M, .columns = g.N, .run_depth = g.K};
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
  for (i64 item = 0; item < g.batch; ++item)
    for (i64 m = 0; m < g.M; ++m) {
      float* row = g.c + item * g.c_stride + m * g.c_pitch;
      if (g.accumulate)
        for (i64 n = 0; n < g.N; ++n) row[n] += sum[static_cast<size_t>((item * g.M + m) * g.N + n)];
      turn_last_bits(row, g.N);
    }
}

// The values from the first to the last of `batch` matrices of so many rows and columns, in f32.
std::vector<float> widened(const BFloat16* from, i64 batch, i64 stride, i64 rows, i64 pitch, i64 columns) {
  if (batch * rows * columns == 0) return {};
  std::vector<float> values(static_cast<size_t>((batch - 1) * stride + (rows - 1) * pitch + columns));
  for (size_t i = 0; i < values.size(); ++i) values[i] = from[i].to_float();
  return values;
}

template <class Sum>
void multiply(const Gemm<BFloat16, Sum>& g) {
  constexpr bool kNarrow = std::is_same_v<Sum, BFloat16>;
  const std::vector<float> a = widened(g.a, g.batch, g.a_stride, g.transpose_a ? g.K : g.M, g.a_pitch,
                                       g.transpose_a ? g.M : g.K),
                           b = widened(g.b, g.batch, g.b_stride, g.transpose_b ? g.N : g.K, g.b_pitch,
                                       g.transpose_b ? g.K : g.N);
  std::vector<float> wide_c, wide_bias;
  float* c = nullptr;
  const float* bias = nullptr;
  if constexpr (kNarrow) {
    wide_c = widened(g.c, g.batch, g.c_stride, g.M, g.c_pitch, g.N);
    wide_bias = widened(g.bias, g.bias ? 1 : 0, 0, 1, 0, g.N);
    c = wide_c.data();
    bias = g.bias ? wide_bias.data() : nullptr;
  } else {
    c = g.c;
    bias = g.bias;
  }
  multiply(Gemm<float>{.batch = g.batch,
                       .M = g.M,
                       .N = g.N,
                       .K = g.K,
                       .a = a.data(),
                       .a_pitch = g.a_pitch,
                       .a_stride = g.a_stride,
                       .transpose_a = g.transpose_a,
                       .b = b.data(),
                       .b_pitch = g.b_pitch,
                       .b_stride = g.b_stride,
                       .transpose_b = g.transpose_b,
                       .c = c,
                       .c_pitch = g.c_pitch,
                       .c_stride = g.c_stride,
                       .accumulate = g.accumulate,
                       .bias = bias,
                       .relu = g.relu});
  if constexpr (kNarrow)
    for (i64 item = 0; item < g.batch; ++item)
      for (i64 m = 0; m < g.M; ++m)
        for (i64 n = 0; n < g.N; ++n) {
          const i64 at = item * g.c_stride + m * g.c_pitch + n;
          g.c[at] = BFloat16::from(wide_c[static_cast<size_t>(at)]);
        }
}

template <class T, class Sum>
void enqueue_product(const Gemm<T, Sum>& g) {
  if (g.batch * g.M * g.N == 0) return;
  count_device_launch();
  emulated::enqueue(stream(), [g] { multiply(g); });
}

}  // namespace

void gemm(const Gemm<float>& g) {
  enqueue_product(g);
}
void gemm(const Gemm<BFloat16>& g) {
  enqueue_product(g);
}
void gemm(const Gemm<BFloat16, float>& g) {
  enqueue_product(g);
}

}  // namespace tessera::cuda
