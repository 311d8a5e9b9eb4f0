#include "ops/grid_sample.h"

#include <vector>

#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

struct Naive {
  Tensor y, gx, gpoints;
};

// Corner by corner in f64, for points whose pixel coordinates are scale * point + shift.
Naive naive(const Tensor& x32, const Tensor& image, const Tensor& points32, const Tensor& gy32, const double scale[2],
            const double shift[2]) {
  const Tensor x = x32.to(DType::kF64), points = points32.to(DType::kF64), gy = gy32.to(DType::kF64);
  const i64 H = x.dim(1), W = x.dim(2), C = x.dim(3), P = points.dim(0);
  Naive r{Tensor::zeros({P, C}, DType::kF64), Tensor::zeros(x.shape(), DType::kF64),
          Tensor::zeros(points.shape(), DType::kF64)};
  for (i64 p = 0; p < P; ++p) {
    const double u = points.data<double>()[2 * p] * scale[0] + shift[0];
    const double v = points.data<double>()[2 * p + 1] * scale[1] + shift[1];
    for (const double row : {std::floor(v), std::floor(v) + 1})
      for (const double column : {std::floor(u), std::floor(u) + 1}) {
        if (!(row >= 0 && row < double(H) && column >= 0 && column < double(W))) continue;
        const double wv = 1 - std::abs(v - row), wu = 1 - std::abs(u - column);
        for (i64 c = 0; c < C; ++c) {
          const i64 from = ((image.data<i64>()[p] * H + i64(row)) * W + i64(column)) * C + c;
          const double g = gy.data<double>()[p * C + c], value = x.data<double>()[from];
          r.y.data<double>()[p * C + c] += wv * wu * value;
          r.gx.data<double>()[from] += wv * wu * g;
          r.gpoints.data<double>()[2 * p] += g * value * wv * (column > u ? 1 : -1) * scale[0];
          r.gpoints.data<double>()[2 * p + 1] += g * value * wu * (row > v ? 1 : -1) * scale[1];
        }
      }
  }
  return r;
}

}  // namespace

TEST_CASE("grid_sample and sample_points: forward and gradients agree with the definition on random shapes") {
  Random random(1);
  const i64 channels[] = {1, 2, 3, 7, 15, 16, 17, 33, 64, 100, 129};
  for (int draw = 0; draw < 1500; ++draw) {
    const i64 N = random.integer(1, 3), H = random.integer(1, 12), W = random.integer(1, 12);
    const i64 C = channels[random.integer(0, 10)], Ho = random.integer(0, 5), Wo = random.integer(1, 5),
              P = N * Ho * Wo;
    const bool unit = random.chance(0.4), corners = random.chance(0.5);
    const DType dtype = random.chance(0.5) ? DType::kF32 : DType::kF64;
    INFO("draw ", draw, ": x [", N, ", ", H, ", ", W, ", ", C, "], points ", P, unit ? " in [0, 1]" : " in [-1, 1]",
         ", align_corners ", corners);
    const Tensor x = random_tensor(random, {N, H, W, C}, dtype), gy = random_tensor(random, {P, C}, dtype);
    Tensor points = Tensor::empty({P, 2}, dtype), image = Tensor::empty({P}, DType::kI64);
    random.fill_uniform(points, unit ? -0.3 : -1.5, unit ? 1.3 : 1.5);
    for (i64 p = 0; p < P; ++p) image.data<i64>()[p] = unit ? random.integer(0, N - 1) : p / (Ho * Wo);
    double scale[2], shift[2];
    for (const int k : {0, 1}) {
      const double n = double(k ? H : W);
      scale[k] = unit ? n : (corners ? n - 1 : n) / 2;
      shift[k] = unit ? -0.5 : (n - 1) / 2;
    }
    const Naive expected = naive(x, image, points, gy, scale, shift);
    if (unit) {
      REQUIRE(difference(ops::sample_points(x, image, points), expected.y) < tolerance(dtype));
      REQUIRE(difference(ops::sample_points_backward_input(gy, image, points, x.shape()), expected.gx) <
              tolerance(dtype));
      REQUIRE(difference(ops::sample_points_backward_points(gy, x, image, points), expected.gpoints) <
              tolerance(dtype));
      continue;
    }
    const Tensor grid = points.reshape({N, Ho, Wo, 2}), g = gy.reshape({N, Ho, Wo, C});
    REQUIRE(difference(ops::grid_sample(x, grid, corners).reshape({P, C}), expected.y) < tolerance(dtype));
    REQUIRE(difference(ops::grid_sample_backward_input(g, grid, x.shape(), corners), expected.gx) < tolerance(dtype));
    REQUIRE(difference(ops::grid_sample_backward_grid(g, x, grid, corners).reshape({P, 2}), expected.gpoints) <
            tolerance(dtype));
  }
}

TEST_CASE("grid_sample: with align_corners -1 and 1 are the corner pixels, without half a pixel outside them") {
  const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {1, 2, 2, 1});
  const Tensor grid = Tensor::from(std::vector<float>{-1, -1, 1, 1}, {1, 1, 2, 2});
  const Tensor corners = ops::grid_sample(x, grid, true), edges = ops::grid_sample(x, grid, false);
  CHECK(corners.data<float>()[0] == 1);
  CHECK(corners.data<float>()[1] == 4);
  CHECK(edges.data<float>()[0] == 0.25F);
  CHECK(edges.data<float>()[1] == 1);
}

TEST_CASE("grid_sample: points at NaN, infinity or far outside sample nothing and get no gradient") {
  Random random(3);
  const Tensor x = random_tensor(random, {1, 4, 4, 20}, DType::kF32);
  const Tensor gy = Tensor::full({1, 3, 3, 20}, NAN);  // even this does not reach them
  for (const double value : {double(NAN), double(INFINITY), -double(INFINITY), 1e30, -1e30}) {
    const Tensor grid = Tensor::full({1, 3, 3, 2}, value);
    for (const Tensor& zero : {ops::grid_sample(x, grid), ops::grid_sample_backward_input(gy, grid, x.shape(), false),
                               ops::grid_sample_backward_grid(gy, x, grid, false)})
      for (const float element : zero.span<float>()) REQUIRE(element == 0);
  }
}

TEST_CASE("grid_sample: the bits do not depend on the number of threads") {
  Random random(4);
  for (const i64 C : {1, 40, 130}) {
    const Tensor x = random_tensor(random, {2, 20, 30, C}, DType::kF32);
    const Tensor grid = random_tensor(random, {2, 70, 30, 2}, DType::kF32);
    const Tensor gy = random_tensor(random, {2, 70, 30, C}, DType::kF32);
    const auto all = [&] {
      return std::vector<Tensor>{ops::grid_sample(x, grid), ops::grid_sample_backward_input(gy, grid, x.shape(), false),
                                 ops::grid_sample_backward_grid(gy, x, grid, false)};
    };
    check_threads(all);
  }
}

TEST_CASE("grid_sample: the backwards check their gradients' shapes") {
  const Tensor x = Tensor::zeros({2, 4, 4, 3}), grid = Tensor::zeros({2, 5, 6, 2}), gy = Tensor::zeros({2, 5, 6, 4});
  CHECK_ERROR(ops::grid_sample_backward_input(gy, grid, x.shape(), false),
              "grid_sample_backward_input: gy must be [2, 5, 6, 3], got [2, 5, 6, 4]");
  CHECK_ERROR(ops::grid_sample_backward_grid(gy, x, grid, false),
              "grid_sample_backward_grid: gy must be [2, 5, 6, 3], got [2, 5, 6, 4]");
  CHECK_ERROR(ops::sample_points_backward_points(gy, x, Tensor::zeros({7}, DType::kI64), Tensor::zeros({7, 2})),
              "sample_points_backward_points: gy must be [7, 3], got [2, 5, 6, 4]");
}

}  // namespace tessera::test
