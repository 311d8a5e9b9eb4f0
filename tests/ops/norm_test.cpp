// The operators layer_norm and group_norm without the tape: gradients by the formula, equal bits for all thread counts.
#include <omp.h>

#include <cmath>
#include <vector>

#include "ops/group_norm.h"
#include "ops/layer_norm.h"
#include "tests/ops/compare.h"

namespace tessera::test {
namespace {

struct Three {
  Tensor x, weight, bias;
};

// The gradients in f64: gx = rstd (g - mean g - xhat mean(g xhat)), g = gy w.
Three naive_layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, double eps) {
  const i64 C = x.dim(-1), R = x.numel() / C;
  Three result{Tensor::zeros(x.shape(), DType::kF64), Tensor::zeros({C}, DType::kF64), Tensor::zeros({C}, DType::kF64)};
  const double count = static_cast<double>(C);
  std::vector<double> xhat(static_cast<size_t>(C)), g(static_cast<size_t>(C));
  for (i64 r = 0; r < R; ++r) {
    const double *row = x.data<double>() + r * C, *grow = gy.data<double>() + r * C;
    double mean = 0, var = 0, g1 = 0, g2 = 0;
    for (i64 c = 0; c < C; ++c) mean += row[c] / count;
    for (i64 c = 0; c < C; ++c) var += (row[c] - mean) * (row[c] - mean) / count;
    const double rstd = 1 / std::sqrt(var + eps);
    for (i64 c = 0; c < C; ++c) {
      xhat[c] = (row[c] - mean) * rstd;
      g[c] = grow[c] * (weight.defined() ? weight.data<double>()[c] : 1);
      g1 += g[c] / count, g2 += g[c] * xhat[c] / count;
      result.weight.data<double>()[c] += grow[c] * xhat[c];
      result.bias.data<double>()[c] += grow[c];
    }
    for (i64 c = 0; c < C; ++c) result.x.data<double>()[r * C + c] = rstd * (g[c] - g1 - xhat[c] * g2);
  }
  return result;
}

Tensor f64_or_nothing(const Tensor& x) {
  return x.defined() ? x.to(DType::kF64) : Tensor();
}

}  // namespace

TEST_CASE("layer_norm: all gradients agree with the formula over rows and lengths of any remainder") {
  Random random(3);
  for (const DType dtype : {DType::kF32, DType::kF64})
    for (const i64 rows : {1, 3, 4, 7, 300})
      for (const i64 C : {1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 65, 130}) {
        INFO("rows ", rows, " C ", C);
        const Tensor x = random_tensor(random, {rows, C}, dtype), gy = random_tensor(random, {rows, C}, dtype);
        const Tensor weight = C % 2 ? random_tensor(random, {C}, dtype) : Tensor();
        const double eps = 0.1;  // with less, one value or two per row are all rounding
        const auto out = ops::layer_norm(x, weight, Tensor(), eps);
        const auto got = ops::layer_norm_backward(gy, x, weight, out.mean, out.rstd);
        const Three expected =
            naive_layer_norm_backward(gy.to(DType::kF64), x.to(DType::kF64), f64_or_nothing(weight), eps);
        if (C > 1) CHECK(difference(got.x, expected.x) < tolerance(dtype));
        if (C > 1) CHECK(difference(got.weight, expected.weight) < tolerance(dtype));
        CHECK(difference(got.bias, expected.bias) < tolerance(dtype));
      }
}

TEST_CASE("layer_norm: the same bits with 1, 2, 3 and 7 threads") {
  Random random(5);
  const int threads = omp_get_max_threads();
  for (const Shape& shape : {Shape{2000, 37}, Shape{7, 9001}}) {
    const Tensor x = random_tensor(random, shape, DType::kF32), gy = random_tensor(random, shape, DType::kF32);
    const Tensor weight = random_tensor(random, {shape[1]}, DType::kF32);
    omp_set_num_threads(1);
    const auto out = ops::layer_norm(x, weight, weight, 1e-5);
    const auto gradients = ops::layer_norm_backward(gy, x, weight, out.mean, out.rstd);
    for (const int count : {2, 3, 7}) {
      omp_set_num_threads(count);
      const auto again = ops::layer_norm(x, weight, weight, 1e-5);
      const auto gradients_again = ops::layer_norm_backward(gy, x, weight, again.mean, again.rstd);
      CHECK(same_bits(again.y, out.y));
      CHECK(same_bits(gradients_again.x, gradients.x));
      CHECK(same_bits(gradients_again.weight, gradients.weight));
      CHECK(same_bits(gradients_again.bias, gradients.bias));
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("group_norm: one group over one pixel is layer_norm") {
  Random random(7);
  for (const i64 C : {1, 3, 16, 65, 130, 9001}) {
    INFO("C ", C);
    const Tensor x = random_tensor(random, {5, C}, DType::kF64), gy = random_tensor(random, {5, C}, DType::kF64);
    const Tensor weight = random_tensor(random, {C}, DType::kF64);
    const auto group = ops::group_norm(x, 1, weight, weight, 0.1);
    const auto layer = ops::layer_norm(x, weight, weight, 0.1);
    CHECK(difference(group.y, layer.y) < 1e-12);
    const auto g = ops::group_norm_backward(gy, x, weight, group.mean, group.rstd);
    const auto l = ops::layer_norm_backward(gy, x, weight, layer.mean, layer.rstd);
    if (C > 1) CHECK(difference(g.x, l.x) < 1e-12);
    if (C > 1) CHECK(difference(g.weight, l.weight) < 1e-12);
    CHECK(difference(g.bias, l.bias) < 1e-12);
  }
}

TEST_CASE("group_norm: the same bits with 1, 2, 3 and 7 threads") {
  Random random(5);
  const int threads = omp_get_max_threads();
  for (const Shape& shape : {Shape{3, 40, 31, 40}, Shape{2, 3, 9000}}) {
    const Tensor x = random_tensor(random, shape, DType::kF32), gy = random_tensor(random, shape, DType::kF32);
    const Tensor weight = random_tensor(random, {shape[-1]}, DType::kF32);
    omp_set_num_threads(1);
    const auto out = ops::group_norm(x, 4, weight, weight, 1e-5);
    const auto gradients = ops::group_norm_backward(gy, x, weight, out.mean, out.rstd);
    for (const int count : {2, 3, 7}) {
      omp_set_num_threads(count);
      const auto again = ops::group_norm(x, 4, weight, weight, 1e-5);
      const auto gradients_again = ops::group_norm_backward(gy, x, weight, again.mean, again.rstd);
      CHECK(same_bits(again.y, out.y));
      CHECK(same_bits(gradients_again.x, gradients.x));
      CHECK(same_bits(gradients_again.weight, gradients.weight));
      CHECK(same_bits(gradients_again.bias, gradients.bias));
    }
  }
  omp_set_num_threads(threads);
}

}  // namespace tessera::test
