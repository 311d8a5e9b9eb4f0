#include "ops/matmul.h"

#include <omp.h>

#include <limits>

#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using ops::Transpose;

Tensor naive_matmul(const Tensor& a, const Tensor& b, bool first, bool second) {
  const Tensor x = a.to(DType::kF64), y = b.to(DType::kF64);
  const i64 batch = a.dim(0), M = a.dim(first ? 2 : 1), K = a.dim(first ? 1 : 2), N = b.dim(second ? 1 : 2);
  Tensor c = Tensor::zeros({batch, M, N}, DType::kF64);
  for (i64 n = 0; n < batch; ++n)
    for (i64 i = 0; i < M; ++i)
      for (i64 j = 0; j < N; ++j) {
        double sum = 0;
        for (i64 k = 0; k < K; ++k)
          sum += x.data<double>()[n * M * K + (first ? k * M + i : i * K + k)] *
                 y.data<double>()[n * K * N + (second ? j * K + k : k * N + j)];
        c.data<double>()[(n * M + i) * N + j] = sum;
      }
  return c;
}

}  // namespace

TEST_CASE("matmul: every size and transposition agrees with the plain loops") {
  const i64 sizes[][4] = {{1, 1, 1, 1},     {1, 6, 64, 16},  {2, 7, 65, 3},     {1, 13, 129, 300},
                          {3, 5, 17, 31},   {1, 1, 200, 77}, {1, 200, 1, 77},   {2, 145, 33, 9},
                          {1, 150, 70, 40}, {1, 3, 2, 5000}, {1, 64, 64, 2500}, {0, 3, 4, 5},
                          {1, 0, 4, 5},     {1, 3, 0, 5},    {2, 3, 4, 0},      {1, 12, 300, 257}};
  Random random(1);
  for (const DType dtype : {DType::kF32, DType::kF64})
    for (const auto& [batch, M, N, K] : sizes)
      for (const Transpose transpose : {Transpose::kNone, Transpose::kFirst, Transpose::kSecond, Transpose::kBoth}) {
        const bool first = transpose == Transpose::kFirst || transpose == Transpose::kBoth;
        const bool second = transpose == Transpose::kSecond || transpose == Transpose::kBoth;
        INFO("batch ", batch, " M ", M, " N ", N, " K ", K, " first ", first, " second ", second);
        const Tensor a = random_tensor(random, first ? Shape{batch, K, M} : Shape{batch, M, K}, dtype);
        const Tensor b = random_tensor(random, second ? Shape{batch, N, K} : Shape{batch, K, N}, dtype);
        const Tensor expected = naive_matmul(a, b, first, second);
        CHECK(difference(ops::matmul(a, b, transpose), expected) < tolerance(dtype));
        if (batch == 1) {
          const Tensor flat = ops::matmul(a.reshape({a.dim(1), a.dim(2)}), b.reshape({b.dim(1), b.dim(2)}), transpose);
          CHECK(difference(flat, expected.reshape({M, N})) < tolerance(dtype));
        }
      }
}

TEST_CASE("matmul: the bits do not depend on the number of threads") {
  Random random(2);
  const int threads = omp_get_max_threads();
  const i64 sizes[][3] = {{1000, 64, 64}, {64, 72, 20000}, {100, 3000, 128}, {300, 300, 300}};
  for (const auto& [M, N, K] : sizes) {
    const Tensor a = random_tensor(random, {M, K}, DType::kF32), b = random_tensor(random, {K, N}, DType::kF32);
    omp_set_num_threads(1);
    const Tensor one = ops::matmul(a, b);
    for (const int count : {2, 3, 5}) {
      omp_set_num_threads(count);
      CHECK(same_bits(ops::matmul(a, b), one));
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("matmul: NaN and infinity propagate, even times zero") {
  Tensor a = Tensor::zeros({2, 3}), b = Tensor::full({3, 2}, 1);
  b.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  b.data<float>()[3] = std::numeric_limits<float>::infinity();
  const Tensor c = ops::matmul(a, b);
  for (const float value : c.span<float>()) CHECK(std::isnan(value));
}

TEST_CASE("linear: agrees with the plain loops, with and without bias, for any rank of x") {
  Random random(3);
  for (const DType dtype : {DType::kF32, DType::kF64})
    for (const Shape& shape : {Shape{7}, Shape{5, 7}, Shape{2, 3, 4, 7}, Shape{0, 7}})
      for (const bool with_bias : {false, true}) {
        const Tensor x = random_tensor(random, shape, dtype), w = random_tensor(random, {70, 7}, dtype);
        const Tensor b = with_bias ? random_tensor(random, {70}, dtype) : Tensor();
        const i64 rows = x.numel() / 7;
        Tensor expected = naive_matmul(x.reshape({1, rows, 7}), w.reshape({1, 70, 7}), false, true);
        for (i64 i = 0; i < expected.numel() && with_bias; ++i)
          expected.data<double>()[i] += b.to(DType::kF64).data<double>()[i % 70];
        const Tensor y = ops::linear(x, w, b);
        CHECK(y.rank() == x.rank());
        CHECK(difference(y.reshape({1, rows, 70}), expected) < tolerance(dtype));

        const Tensor gy = random_tensor(random, y.shape(), dtype);
        const Tensor gx = ops::linear_backward_input(gy, w), gw = ops::linear_backward_weight(gy, x);
        CHECK(gx.shape() == x.shape());
        const Tensor gy_rows = gy.reshape({1, rows, 70});
        CHECK(difference(gx.reshape({1, rows, 7}), naive_matmul(gy_rows, w.reshape({1, 70, 7}), false, false)) <
              tolerance(dtype));
        CHECK(difference(gw.reshape({1, 70, 7}), naive_matmul(gy_rows, x.reshape({1, rows, 7}), true, false)) <
              tolerance(dtype));
      }
}

TEST_CASE("column_sum: sums over all rows, exactly where f32 allows it") {
  for (const i64 rows : {0, 1, 255, 256, 1000})
    for (const i64 columns : {1, 3, 16, 70}) {
      Tensor x = Tensor::empty({rows, 1, columns});
      for (i64 i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(i % columns);
      const Tensor y = ops::column_sum(x);
      REQUIRE(y.shape() == Shape{columns});
      for (i64 c = 0; c < columns; ++c) CHECK(y.data<float>()[c] == static_cast<float>(c * rows));
    }
}

TEST_CASE("matmul, linear: errors name the shapes") {
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({4, 5});
  CHECK_ERROR(ops::matmul(a, b), "matmul: inner sizes 3 and 4 differ; a [2, 3], b [4, 5], transpose none");
  CHECK_ERROR(ops::matmul(a, b, Transpose::kFirst), "inner sizes 2 and 4 differ");
  CHECK_ERROR(ops::matmul(a, Tensor::zeros({1, 3, 2})), "matmul: both operands must have rank 2, or both rank 3");
  CHECK_ERROR(ops::matmul(Tensor::zeros({2, 3, 4}), Tensor::zeros({1, 4, 5})), "matmul: batch sizes differ");
  CHECK_ERROR(ops::matmul(a, Tensor::zeros({3, 2}, DType::kF64)), "matmul: b has dtype f64, the first operand f32");
  CHECK_ERROR(ops::matmul(Tensor::zeros({2, 2}, DType::kI64), Tensor::zeros({2, 2}, DType::kI64)),
              "matmul: dtype i64 is not supported");
  CHECK_ERROR(ops::matmul(a, Tensor()), "matmul: b is undefined");
  CHECK_ERROR(ops::linear(a, b, Tensor()), "linear: x has 3 features, weight [4, 5] expects 5; x [2, 3]");
  CHECK_ERROR(ops::linear(a, Tensor::zeros({4, 3}), Tensor::zeros({3})),
              "linear: bias must be [4]; bias [3], weight [4, 3]");
}

}  // namespace tessera::test
